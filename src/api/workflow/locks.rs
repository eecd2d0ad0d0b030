//! Locks (`status.synchronization`) and the templates of a workflow (only what suspends for a while).

use std::sync::LazyLock;

use memchr::memmem::Finder;

use super::cursor::Broken;
use super::lax::{Fields, Key, Value};
use super::{Lock, MAX_LISTED, Status, Text, Ttl, fold::exit_handler};

/// Collects the strings of a list, at most [`MAX_LISTED`].
pub(super) fn texts<'de>(value: &mut Value<'_, 'de>, into: &mut Vec<Text<'de>>) -> Result<(), Broken> {
    let mut over = false;
    value.texts(|text| if into.len() < MAX_LISTED { into.push(text) } else { over = true })?;
    if over {
        value.odd();
    }
    Ok(())
}

/// `{mutex: {waiting, holding}, semaphore: {waiting, holding}}`; both may be there at once.
pub(super) struct Synchronization<'m, 'de> {
    pub(super) status: &'m mut Status<'de>,
}

impl<'de> Fields<'de> for Synchronization<'_, 'de> {
    fn field(&mut self, key: Key<'de>, value: &mut Value<'_, 'de>) -> Result<u8, Broken> {
        let semaphore = match key.name() {
            "mutex" => false,
            "semaphore" => true,
            _ => return Ok(0),
        };
        value.object(&mut LockLists { status: self.status, semaphore })?;
        Ok(1 + u8::from(semaphore))
    }
}

struct LockLists<'m, 'de> {
    status: &'m mut Status<'de>,
    semaphore: bool,
}

impl<'de> Fields<'de> for LockLists<'_, 'de> {
    fn field(&mut self, key: Key<'de>, value: &mut Value<'_, 'de>) -> Result<u8, Broken> {
        let (into, number) = match key.name() {
            "waiting" => (&mut self.status.waiting, 1),
            "holding" => (&mut self.status.holding, 2),
            _ => return Ok(0),
        };
        let mut over = false;
        value.objects(|lock: Lock<'de>| {
            if into.len() < MAX_LISTED {
                into.push(Lock { semaphore: self.semaphore, ..lock });
            } else {
                over = true;
            }
        })?;
        if over {
            value.odd();
        }
        Ok(number)
    }
}

impl<'de> Fields<'de> for Lock<'de> {
    fn field(&mut self, key: Key<'de>, value: &mut Value<'_, 'de>) -> Result<u8, Broken> {
        Ok(match key.name() {
            "mutex" | "semaphore" => {
                self.name = value.text()?;
                1
            }
            "holder" => {
                let holder = value.text()?;
                if !holder.is_empty() {
                    self.holders.push(holder);
                }
                2
            }
            "holders" => {
                texts(value, &mut self.holders)?;
                3
            }
            _ => 0,
        })
    }
}

/// Templates without it are of no interest, and nearly all are: they are the bulk of what Argo stores.
static DURATION: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new("\"duration\""));

/// Reads a list of templates and keeps (name, `suspend.duration`) of those that resume by themselves.
pub(super) fn templates<'de>(value: &mut Value<'_, 'de>, into: &mut Vec<(Text<'de>, Text<'de>)>) -> Result<(), Broken> {
    if value.leap_without(&DURATION)? {
        return Ok(());
    }
    let mut over = false;
    value.objects(|template: Template<'de>| over |= !template.keep(into))?;
    if over {
        value.odd();
    }
    Ok(())
}

#[derive(Default)]
struct Template<'de> {
    name: Text<'de>,
    duration: Text<'de>,
}

impl<'de> Template<'de> {
    /// False when there was no room.
    fn keep(self, into: &mut Vec<(Text<'de>, Text<'de>)>) -> bool {
        if self.duration.is_empty() {
            return true;
        }
        let room = into.len() < MAX_LISTED;
        if room {
            into.push((self.name, self.duration));
        }
        room
    }
}

impl<'de> Fields<'de> for Template<'de> {
    fn field(&mut self, key: Key<'de>, value: &mut Value<'_, 'de>) -> Result<u8, Broken> {
        Ok(match key.name() {
            "name" => {
                self.name = value.text()?;
                1
            }
            "suspend" => {
                value.object(&mut Suspend(&mut self.duration))?;
                2
            }
            _ => 0,
        })
    }
}

struct Suspend<'m, 'de>(&'m mut Text<'de>);

impl<'de> Fields<'de> for Suspend<'_, 'de> {
    fn field(&mut self, key: Key<'de>, value: &mut Value<'_, 'de>) -> Result<u8, Broken> {
        if key.name() != "duration" {
            return Ok(0);
        }
        *self.0 = value.text_or_number()?;
        Ok(1)
    }
}

/// Reads `status.storedTemplates` in the same way.
pub(super) fn stored_templates<'de>(
    value: &mut Value<'_, 'de>,
    into: &mut Vec<(Text<'de>, Text<'de>)>,
) -> Result<(), Broken> {
    if !value.leap_without(&DURATION)? {
        value.object(&mut StoredTemplates(into))?;
    }
    Ok(())
}

/// `{scope/name/template: template}`.
struct StoredTemplates<'m, 'de>(&'m mut Vec<(Text<'de>, Text<'de>)>);

impl<'de> Fields<'de> for StoredTemplates<'_, 'de> {
    fn field(&mut self, _: Key<'de>, value: &mut Value<'_, 'de>) -> Result<u8, Broken> {
        let mut template = Template::default();
        value.object(&mut template)?;
        if !template.keep(self.0) {
            value.odd();
        }
        Ok(0)
    }
}

/// `status.storedWorkflowTemplateSpec`: the spec in force where a `workflowTemplateRef` is used.
pub(super) struct StoredSpec<'m, 'de> {
    pub(super) status: &'m mut Status<'de>,
}

impl<'de> Fields<'de> for StoredSpec<'_, 'de> {
    fn field(&mut self, key: Key<'de>, value: &mut Value<'_, 'de>) -> Result<u8, Broken> {
        match key.name() {
            "templates" => {
                templates(value, &mut self.status.suspend_durations)?;
                Ok(1)
            }
            "ttlStrategy" => {
                self.status.stored_ttl = Ttl::read(value)?;
                Ok(2)
            }
            other => exit_handler(other, value, &mut self.status.stored_exit_handler),
        }
    }
}
