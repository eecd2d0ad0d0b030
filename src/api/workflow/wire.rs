//! What a watch and a list of workflows are made of: lines, pages, and the API server's own words.

use std::cell::Cell;

use super::cursor::Broken;
use super::lax::{Fields, Key, Value, total};
use super::{Raw, Text, Workflow};

/// The annotation of the bookmark that ends the initial events of a streaming list.
const INITIAL_EVENTS_END: &str = "k8s.io/initial-events-end";

/// What happened to the object of a watch line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventKind {
    Added,
    Modified,
    Deleted,
}

/// One line of a watch.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "one at a time, on the stack; a box would cost an allocation each")]
pub enum WatchLine<'a> {
    Object(EventKind, Workflow<'a>),
    /// Nothing happened up to this version; `initial_events_end` when a streaming list is complete.
    Bookmark {
        resource_version: Text<'a>,
        initial_events_end: bool,
    },
    /// The watch has failed.
    Error(ApiStatus<'a>),
    /// A type this version doesn't know.
    Unknown(Text<'a>),
}

/// `metav1.Status`, of a failed request or at the end of a watch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ApiStatus<'a> {
    /// The HTTP code, 0 when it isn't given.
    pub code: u16,
    pub reason: Text<'a>,
    pub message: Text<'a>,
    /// `details.retryAfterSeconds`, 0 when it isn't given.
    pub retry_after: u32,
}

/// One page of a list. Its items are not read yet, so that a bad one spoils nothing but itself.
#[derive(Debug, Default)]
pub struct ListPage<'a> {
    pub items: Vec<Raw<'a>>,
    pub resource_version: Text<'a>,
    /// The token of the next page, empty on the last.
    pub next: Text<'a>,
}

impl<'a> WatchLine<'a> {
    /// Reads one line of a watch.
    ///
    /// # Errors
    /// When `text` is not one JSON object.
    pub fn from_json(text: &'a str) -> Result<Self, serde_json::Error> {
        let oddities = Cell::new(0);
        let mut line = Line::default();
        total(text, &oddities, &mut line)?;
        // Servers write `type` first; only where one doesn't, the object had to wait for it.
        if let Some(raw) = line.unread.take() {
            if line.kind == "ERROR" {
                total(raw.get(), &oddities, &mut line.status)?;
            } else {
                total(raw.get(), &oddities, &mut line.object)?;
            }
        }
        let mut object = line.object;
        object.oddities = oddities.get();
        Ok(match line.kind.as_ref() {
            "ADDED" => Self::Object(EventKind::Added, object),
            "MODIFIED" => Self::Object(EventKind::Modified, object),
            "DELETED" => Self::Object(EventKind::Deleted, object),
            "BOOKMARK" => {
                let initial_events_end = object.annotation(INITIAL_EVENTS_END).is_some_and(|v| v == "true");
                Self::Bookmark { resource_version: object.meta.resource_version, initial_events_end }
            }
            "ERROR" => Self::Error(line.status),
            _ => Self::Unknown(line.kind),
        })
    }
}

#[derive(Default)]
struct Line<'a> {
    kind: Text<'a>,
    object: Workflow<'a>,
    status: ApiStatus<'a>,
    unread: Option<Raw<'a>>,
}

impl<'de> Fields<'de> for Line<'de> {
    fn field(&mut self, key: Key<'de>, value: &mut Value<'_, 'de>) -> Result<u8, Broken> {
        Ok(match key.name() {
            "type" => {
                self.kind = value.text()?;
                1
            }
            "object" => {
                match self.kind.as_ref() {
                    "" => self.unread = value.raw_object()?,
                    "ERROR" => {
                        value.object(&mut self.status)?;
                    }
                    _ => {
                        self.object = Workflow::default();
                        value.object(&mut self.object)?;
                    }
                }
                2
            }
            _ => 0,
        })
    }
}

impl<'a> ApiStatus<'a> {
    /// Reads the body of a failed request; what it doesn't say stays empty.
    pub fn from_json(text: &'a str) -> Self {
        let mut status = Self::default();
        if total(text, &Cell::new(0), &mut status).is_err() {
            return Self::default();
        }
        status
    }
}

impl<'de> Fields<'de> for ApiStatus<'de> {
    fn field(&mut self, key: Key<'de>, value: &mut Value<'_, 'de>) -> Result<u8, Broken> {
        Ok(match key.name() {
            "code" => {
                self.code = value.integer()?.and_then(|code| u16::try_from(code).ok()).unwrap_or(0);
                1
            }
            "reason" => {
                self.reason = value.text()?;
                2
            }
            "message" => {
                self.message = value.text()?;
                3
            }
            "details" => {
                value.object(&mut Details(&mut self.retry_after))?;
                4
            }
            _ => 0,
        })
    }
}

struct Details<'m>(&'m mut u32);

impl<'de> Fields<'de> for Details<'_> {
    fn field(&mut self, key: Key<'de>, value: &mut Value<'_, 'de>) -> Result<u8, Broken> {
        if key.name() == "retryAfterSeconds" {
            *self.0 = value.integer()?.and_then(|secs| u32::try_from(secs).ok()).unwrap_or(0);
        }
        Ok(0)
    }
}

impl<'a> ListPage<'a> {
    /// Reads one page of a list.
    ///
    /// # Errors
    /// When `text` is not one JSON object.
    pub fn from_json(text: &'a str) -> Result<Self, serde_json::Error> {
        let mut page = Self::default();
        total(text, &Cell::new(0), &mut page)?;
        Ok(page)
    }
}

impl<'de> Fields<'de> for ListPage<'de> {
    fn field(&mut self, key: Key<'de>, value: &mut Value<'_, 'de>) -> Result<u8, Broken> {
        match key.name() {
            "items" => {
                self.items.clear();
                value.list(|item| item.raw().map(|raw| self.items.push(raw)))?;
                Ok(1)
            }
            "metadata" => {
                value.object(&mut ListMeta { resource_version: &mut self.resource_version, next: &mut self.next })?;
                Ok(2)
            }
            _ => Ok(0),
        }
    }
}

struct ListMeta<'m, 'de> {
    resource_version: &'m mut Text<'de>,
    next: &'m mut Text<'de>,
}

impl<'de> Fields<'de> for ListMeta<'_, 'de> {
    fn field(&mut self, key: Key<'de>, value: &mut Value<'_, 'de>) -> Result<u8, Broken> {
        match key.name() {
            "resourceVersion" => *self.resource_version = value.text()?,
            "continue" => *self.next = value.text()?,
            _ => {}
        }
        Ok(0)
    }
}
