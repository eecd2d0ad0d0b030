//! A mounted folder as a store: files appear whole or not at all, and none is ever replaced.
//!
//! A file is written beside its place under a name of its own, synced, and then linked to its place: the link fails
//! where something is already. A name lasts when its folder is synced, and the folders above: whoever finds a file that it
//! didn't write does that, too, for its writer may have been killed before. What is left of a write that was killed begins with a dot and is never listed.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use async_trait::async_trait;

use super::fault::{Call, Fault, StoreError};
use super::{Bytes, Fingerprint, Head, List, Listed, Meta, Object, Page, Put, Store, mounted};
use crate::archive::key;
use crate::mutant;

/// What is said of an object lies beside it under this ending.
const META: &str = ".meta.json";
/// Objects of one page.
const PAGE: usize = 1_000;

/// A step of writing a file; tests make each of them fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    Create,
    Write,
    Sync,
    Link,
    SyncFolder,
}

/// What is asked before each step.
pub type Before = Arc<dyn Fn(Step) -> io::Result<()> + Send + Sync>;

/// A folder.
#[derive(Clone)]
pub struct Filesystem {
    root: Arc<PathBuf>,
    fingerprint: Fingerprint,
    before: Before,
    /// A file that was seen and that nothing of ours deletes: without it this is another volume, or none.
    mark: Arc<OnceLock<PathBuf>>,
}

impl Filesystem {
    /// `prefix` is the location's: it is part of the keys, and of what identifies the place.
    pub fn new(root: impl Into<PathBuf>, prefix: &str) -> Self {
        let root = root.into();
        let fingerprint = Fingerprint::filesystem(&root.to_string_lossy(), prefix);
        Self { root: Arc::new(root), fingerprint, before: Arc::new(|_| Ok(())), mark: Arc::default() }
    }

    /// The same folder, where steps fail as `before` says.
    #[must_use]
    pub fn failing(self, before: Before) -> Self {
        Self { before, ..self }
    }

    fn path(&self, key: &str) -> Result<PathBuf, StoreError> {
        if key.is_empty() || !key.split('/').all(is_segment) {
            return Err(StoreError::new(Fault::Invalid, format!("{key:?} is no key that can be a file")));
        }
        Ok(self.root.join(key))
    }

    async fn work<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Self) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let own = self.clone();
        let done = tokio::task::spawn_blocking(move || work(&own)).await;
        done.unwrap_or_else(|e| Err(StoreError::new(Fault::Other, format!("the work on files was given up: {e}"))))
    }

    fn put_file(&self, path: &Path, body: &[u8]) -> io::Result<bool> {
        if fs::symlink_metadata(path).is_ok() && !mutant::on("file-replaces") {
            self.sync_folders(path)?;
            return Ok(false);
        }
        let folder = path.parent().unwrap_or(&self.root);
        self.make_folders(folder)?;
        let temporary = folder.join(temporary_name());
        let done = self.write_and_link(&temporary, path, body);
        // Best effort: what stays has a name that is never listed.
        let _ = fs::remove_file(&temporary);
        done
    }

    fn write_and_link(&self, temporary: &Path, path: &Path, body: &[u8]) -> io::Result<bool> {
        (self.before)(Step::Create)?;
        let mut file = OpenOptions::new().write(true).create_new(true).open(temporary)?;
        (self.before)(Step::Write)?;
        file.write_all(body)?;
        (self.before)(Step::Sync)?;
        file.sync_all()?;
        drop(file);
        (self.before)(Step::Link)?;
        if mutant::on("file-replaces") {
            fs::rename(temporary, path)?;
            return Ok(true);
        }
        let created = match fs::hard_link(temporary, path) {
            Ok(()) => true,
            Err(error) if error.kind() == ErrorKind::AlreadyExists => false,
            Err(error) => return Err(error),
        };
        self.sync_folders(path)?;
        Ok(created)
    }

    /// The name of a file, and those of the folders it lies in, last from here on.
    fn sync_folders(&self, path: &Path) -> io::Result<()> {
        (self.before)(Step::SyncFolder)?;
        for folder in path.ancestors().skip(1).take_while(|folder| folder.starts_with(self.root.as_path())) {
            File::open(folder)?.sync_all()?;
        }
        Ok(())
    }

    /// Makes the folders below the root, which itself has to be there: an empty mount point is not the volume.
    fn make_folders(&self, folder: &Path) -> io::Result<()> {
        let below = folder.strip_prefix(self.root.as_path()).unwrap_or(Path::new(""));
        let mut at = self.root.to_path_buf();
        for part in below.components() {
            at.push(part);
            match fs::symlink_metadata(&at) {
                Ok(found) if found.is_dir() => {}
                Ok(_) => {
                    return Err(io::Error::new(ErrorKind::NotADirectory, format!("{} is no folder", at.display())));
                }
                Err(error) if error.kind() == ErrorKind::NotFound => match fs::create_dir(&at) {
                    Err(error) if error.kind() != ErrorKind::AlreadyExists => return Err(error),
                    _ => {}
                },
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Whether a folder on the way is a link.
    fn leads_elsewhere(&self, path: &Path) -> bool {
        let above = path.ancestors().skip(1).take_while(|folder| *folder != self.root.as_path());
        above.into_iter().any(|folder| fs::symlink_metadata(folder).is_ok_and(|found| found.is_symlink()))
    }

    /// Opens a file that no link stands for; `None` if there is none.
    fn open(&self, path: &Path, call: Call) -> Result<Option<(File, u64)>, StoreError> {
        let fail = |error: &io::Error| self.fault(call, path, error);
        if self.leads_elsewhere(path) {
            return Err(StoreError::new(Fault::Invalid, format!("a link leads {} elsewhere", path.display())));
        }
        let found = match fs::symlink_metadata(path) {
            Ok(found) => found,
            Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
                // Nothing is there: is that because the volume isn't?
                return fs::read_dir(self.root.as_path()).map(|_| None).map_err(|e| fail(&e));
            }
            Err(error) => return Err(fail(&error)),
        };
        if !found.is_file() {
            return Err(StoreError::new(Fault::Invalid, format!("{} is no file", path.display())));
        }
        let file = File::open(path).map_err(|e| fail(&e))?;
        Ok(Some((file, found.len())))
    }

    /// What is known to have been stored here must be here still.
    fn is_still_there(&self, call: Call) -> Result<(), StoreError> {
        let Some(mark) = self.mark.get().filter(|_| !mutant::on("mount-unnoticed")) else { return Ok(()) };
        fs::symlink_metadata(mark).map(drop).map_err(|error| self.fault(call, mark, &error))
    }

    fn meta(&self, path: &Path) -> Meta {
        let read = self.open(&beside(path), Call::Get).ok().flatten();
        read.and_then(|(file, _)| serde_json::from_reader(file.take(64 << 10)).ok()).unwrap_or_default()
    }

    fn has_lost_its_mark(&self) -> bool {
        let found = self.mark.get().map(fs::symlink_metadata);
        found.is_some_and(|found| found.is_err_and(|e| e.kind() == ErrorKind::NotFound))
    }

    fn fault(&self, call: Call, path: &Path, error: &io::Error) -> StoreError {
        let kind = match error.kind() {
            ErrorKind::StorageFull | ErrorKind::QuotaExceeded => Fault::DiskFull,
            ErrorKind::ReadOnlyFilesystem => Fault::ReadOnly,
            ErrorKind::PermissionDenied => Fault::AccessDenied(call),
            ErrorKind::NotFound | ErrorKind::NotADirectory if !self.root.is_dir() => Fault::NoSuchBucket,
            ErrorKind::NotFound | ErrorKind::NotADirectory if self.has_lost_its_mark() => {
                return mounted::gone(&self.root);
            }
            ErrorKind::TimedOut => Fault::Timeout,
            ErrorKind::Unsupported | ErrorKind::CrossesDevices => Fault::Unsupported,
            ErrorKind::StaleNetworkFileHandle | ErrorKind::HostUnreachable | ErrorKind::NetworkUnreachable => {
                Fault::Unreachable
            }
            _ => Fault::Other,
        };
        StoreError::new(kind, format!("can't {call} {}: {error}", path.display()))
    }
}

#[async_trait]
impl Store for Filesystem {
    fn fingerprint(&self) -> &Fingerprint {
        &self.fingerprint
    }

    async fn put_new(&self, key: &str, body: Bytes, meta: &Meta) -> Result<Put, StoreError> {
        let path = self.path(key)?;
        let meta = if meta.is_empty() { None } else { serde_json::to_vec(meta).ok() };
        self.work(move |own| {
            let fail = |error: io::Error| own.fault(Call::Put, &path, &error);
            own.is_still_there(Call::Put)?;
            if let Some(meta) = meta {
                own.put_file(&beside(&path), &meta).map_err(fail)?;
            }
            let created = own.put_file(&path, &body).map_err(fail)?;
            // What went away on the way has left it in the empty folder.
            own.is_still_there(Call::Put)?;
            Ok(if created { Put::Created { version_id: None } } else { Put::Exists })
        })
        .await
    }

    async fn get(&self, key: &str, limit: usize) -> Result<Option<Object>, StoreError> {
        let path = self.path(key)?;
        self.work(move |own| {
            let Some((file, size)) = own.open(&path, Call::Get)? else {
                return own.is_still_there(Call::Get).map(|()| None);
            };
            let too_large = || StoreError::new(Fault::TooLarge, format!("{} has over {limit} bytes", path.display()));
            let room = usize::try_from(size).ok().filter(|size| *size <= limit).ok_or_else(too_large)?;
            let mut bytes = Vec::with_capacity(room);
            let read = file.take(limit as u64 + 1).read_to_end(&mut bytes);
            if read.map_err(|e| own.fault(Call::Get, &path, &e))? > limit {
                return Err(too_large());
            }
            // What lies in the empty folder below the volume is no proof of anything.
            own.is_still_there(Call::Get)?;
            Ok(Some(Object { bytes: bytes.into(), version_id: None, storage_class: None, meta: own.meta(&path) }))
        })
        .await
    }

    async fn head(&self, key: &str) -> Result<Option<Head>, StoreError> {
        let path = self.path(key)?;
        self.work(move |own| {
            let found = own.open(&path, Call::Head)?;
            own.is_still_there(Call::Head)?;
            Ok(found.map(|(_, size)| Head { size, version_id: None, storage_class: None, meta: own.meta(&path) }))
        })
        .await
    }

    async fn settle(&self, key: &str) -> Result<(), StoreError> {
        let path = self.path(key)?;
        self.work(move |own| own.sync_folders(&path).map_err(|e| own.fault(Call::Put, &path, &e))).await
    }

    fn rely_on(&self, key: &str) {
        if let Ok(path) = self.path(key) {
            let _ = self.mark.set(path);
        }
    }

    /// Files have none.
    async fn keeps_checksum(&self, _: &str) -> Result<bool, StoreError> {
        Ok(false)
    }

    async fn list(&self, what: &List<'_>) -> Result<Page, StoreError> {
        let (prefix, after) = (what.prefix.to_owned(), what.token.or(what.after).unwrap_or_default().to_owned());
        let folders = what.folders;
        self.work(move |own| {
            fs::read_dir(own.root.as_path()).map_err(|e| own.fault(Call::List, &own.root, &e))?;
            let mut walk = Walk { own, prefix: &prefix, after: &after, folders, page: Page::default(), count: 0 };
            walk.folder(&own.root, "")?;
            // What went away on the way has made it a list of less.
            let page = walk.page;
            own.is_still_there(Call::List).map(|()| page)
        })
        .await
    }

    async fn identity(&self) -> Result<String, StoreError> {
        Ok(format!("folder {}", self.root.display()))
    }
}

/// A walk through the folders in the order of keys.
struct Walk<'a> {
    own: &'a Filesystem,
    prefix: &'a str,
    after: &'a str,
    folders: bool,
    page: Page,
    count: usize,
}

impl Walk<'_> {
    /// `false` = the page is full.
    fn folder(&mut self, path: &Path, key: &str) -> Result<bool, StoreError> {
        let fail = |error: io::Error| self.own.fault(Call::List, path, &error);
        let mut entries = Vec::new();
        for entry in fs::read_dir(path).map_err(fail)? {
            let entry = entry.map_err(fail)?;
            let Ok(name) = entry.file_name().into_string() else { continue };
            let Ok(kind) = entry.file_type() else { continue };
            // Only files: a workflow may be called so, and its folder with it.
            if !is_segment(&name) || name.ends_with(META) && !kind.is_dir() {
                continue;
            }
            // A folder sorts as its keys do: with the slash.
            if kind.is_dir() {
                entries.push((format!("{key}{name}/"), entry.path()));
            } else if kind.is_file() {
                entries.push((format!("{key}{name}"), entry.path()));
            }
        }
        entries.sort();
        for (key, path) in entries {
            let inside = key.starts_with(self.prefix);
            if key.ends_with('/') {
                let wanted = inside || self.prefix.starts_with(key.as_str());
                let behind = *key > *self.after || self.after.starts_with(key.as_str());
                if !wanted || !behind {
                    continue;
                }
                if !(self.folders && inside && key.len() > self.prefix.len()) {
                    if !self.folder(&path, &key)? {
                        return Ok(false);
                    }
                    continue;
                }
                if *key <= *self.after {
                    continue;
                }
                self.page.folders.push(key.clone());
            } else if inside && *key > *self.after {
                let Ok(found) = fs::symlink_metadata(&path) else { continue };
                self.page.objects.push(Listed { key: key.clone(), size: found.len(), storage_class: None });
            } else {
                continue;
            }
            self.count += 1;
            if self.count >= PAGE {
                self.page.next = Some(key);
                return Ok(false);
            }
        }
        Ok(true)
    }
}

/// Whether text may be the name of a file or folder of ours: also the `a=b` of partitions.
fn is_segment(text: &str) -> bool {
    text.split('=').all(key::is_part)
}

fn beside(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(META);
    name.into()
}

/// A name that no other write uses, in this process or in another.
fn temporary_name() -> String {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    format!(".{}-{count}-{:x}.tmp", std::process::id(), unique())
}

/// Told apart also between machines that share the folder and count alike.
fn unique() -> u64 {
    use std::hash::{BuildHasher as _, RandomState};
    RandomState::new().hash_one(0_u8)
}
