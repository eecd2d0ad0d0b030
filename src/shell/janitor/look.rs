//! The last look before a delete is sent: nothing that could have kept the run was heard since it was judged.
//!
//! The object itself is guarded by the server, which compares uid and resourceVersion. Policies, pauses, holds of
//! namespaces and the Lease are not part of it: once the call is on its way, nothing takes it back. So they are looked at
//! again in the very task that sends it, after all waiting.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::mutant;
use crate::shell::lease::Holds;
use crate::watchdog::input::Input;

/// Counts what was heard.
#[derive(Clone, Default)]
pub struct LastLook {
    heard: Arc<AtomicU64>,
    lease: Option<Holds>,
}

/// What had been heard when a job was handed out.
#[derive(Clone, Copy, Debug)]
pub struct Judged(u64);

impl LastLook {
    pub fn new(lease: Option<Holds>) -> Self {
        Self { heard: Arc::default(), lease }
    }

    /// Something may be judged otherwise from now on.
    pub fn heard(&self, input: &Input<'_>) {
        let concerns = matches!(
            input,
            Input::Policy(_)
                | Input::PolicyGone(_)
                | Input::Namespace { .. }
                | Input::NamespaceHeld { .. }
                | Input::Place { .. }
                | Input::Settings(_)
                | Input::Leading(_)
                | Input::Blind(_)
                | Input::Rules { failing: Some(_), .. }
        );
        if concerns {
            self.heard.fetch_add(1, Ordering::SeqCst);
        }
    }

    pub fn now(&self) -> Judged {
        Judged(self.heard.load(Ordering::SeqCst))
    }

    /// Whether what was judged may still be done.
    pub fn stands(&self, judged: Judged) -> bool {
        let same = self.heard.load(Ordering::SeqCst) == judged.0 || mutant::on("no-last-look");
        same && self.lease.as_ref().is_none_or(Holds::now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_may_keep_a_run_makes_it_judged_anew() {
        let look = LastLook::default();
        let judged = look.now();
        look.heard(&Input::Tick);
        look.heard(&Input::ListEnd);
        look.heard(&Input::Rules { source: "watchdogs", failing: None });
        assert!(look.stands(judged), "time alone takes nothing back");
        for input in [
            Input::Settings(None),
            Input::NamespaceHeld { name: "etl".to_owned(), hold: Some("audit".to_owned()) },
            Input::Namespace { name: "etl".to_owned(), labels: None },
            Input::PolicyGone(crate::watchdog::policy::PolicyKey { namespace: None, name: "p".to_owned() }),
            Input::Place { name: "main".to_owned(), place: None },
            Input::Leading(None),
            Input::Blind(None),
            Input::Rules { source: "watchdogs", failing: Some("403".to_owned()) },
        ] {
            let judged = look.now();
            look.heard(&input);
            assert!(!look.stands(judged), "{input:?}");
            assert!(look.stands(look.now()));
        }
    }
}
