//! `ttlStrategy`: how long after its end Argo deletes a run by itself.

use super::cursor::Broken;
use super::lax::{Fields, Key, Value};
use super::{Secs, Workflow};

/// Seconds after the end, by outcome; `completion` where that outcome has none of its own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ttl {
    pub completion: Option<Secs>,
    pub success: Option<Secs>,
    pub failure: Option<Secs>,
    /// Newer versions of Argo only.
    pub error: Option<Secs>,
}

impl Ttl {
    pub(super) fn read(value: &mut Value<'_, '_>) -> Result<Option<Self>, Broken> {
        let mut ttl = Self::default();
        Ok(value.object(&mut ttl)?.then_some(ttl))
    }
}

impl<'de> Fields<'de> for Ttl {
    fn field(&mut self, key: Key<'de>, value: &mut Value<'_, 'de>) -> Result<u8, Broken> {
        let (into, mark) = match key.name() {
            "secondsAfterCompletion" => (&mut self.completion, 1),
            "secondsAfterSuccess" => (&mut self.success, 2),
            "secondsAfterFailure" => (&mut self.failure, 3),
            "secondsAfterError" => (&mut self.error, 4),
            _ => return Ok(0),
        };
        // Argo deletes at once what has been due for longer.
        *into = value.integer()?.map(|secs| Secs::try_from(secs.max(0)).unwrap_or(Secs::MAX));
        Ok(mark)
    }
}

impl Workflow<'_> {
    /// How long after its end Argo deletes a run that ended so. The run's own strategy is taken whole, else that of its
    /// template or of the controller's defaults.
    pub fn argo_ttl(&self) -> Option<Secs> {
        let ttl = self.spec.ttl.or(self.status.stored_ttl)?;
        let own = match self.status.phase.as_ref() {
            "Succeeded" => ttl.success,
            "Failed" => ttl.failure,
            "Error" => ttl.error,
            _ => return None,
        };
        own.or(ttl.completion)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ttl(phase: &str, spec: &str, stored: &str) -> Option<Secs> {
        let text = format!(
            r#"{{"spec":{{{spec}}},"status":{{"phase":"{phase}","storedWorkflowTemplateSpec":{{{stored}}}}}}}"#
        );
        Workflow::from_json(&text).ok()?.argo_ttl()
    }

    #[test]
    fn as_argo_reads_it() {
        let both = r#""ttlStrategy":{"secondsAfterCompletion":60,"secondsAfterSuccess":5,"secondsAfterFailure":7}"#;
        let failed = r#""ttlStrategy":{"secondsAfterFailure":0}"#;
        assert_eq!(ttl("Succeeded", both, ""), Some(5));
        assert_eq!(ttl("Failed", both, ""), Some(7));
        assert_eq!(ttl("Error", both, ""), Some(60));
        assert_eq!(ttl("Running", both, ""), None);
        assert_eq!(ttl("Succeeded", "", both), Some(5), "of its template");
        assert_eq!(ttl("Succeeded", failed, both), None, "its own counts whole");
        assert_eq!(ttl("Failed", failed, both), Some(0));
        assert_eq!(ttl("Succeeded", "", ""), None);
        assert_eq!(ttl("Succeeded", r#""ttlStrategy":{"secondsAfterCompletion":-3}"#, ""), Some(0));
        assert_eq!(ttl("Succeeded", r#""ttlStrategy":{"secondsAfterCompletion":"soon"}"#, ""), None);
        assert_eq!(ttl("Succeeded", r#""ttlStrategy":null"#, both), Some(5));
    }
}
