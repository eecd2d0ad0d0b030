//! What goes wrong in a folder, and a store where it does so right before the first call of a site.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use async_trait::async_trait;
use unstick::archive::key::Layout;
use unstick::archive::store::filesystem::{Filesystem, Step};
use unstick::archive::store::{Bytes, Fingerprint, Head, List, Meta, Object, Page, Put, Store, StoreError};

use crate::folder::PREFIX;
use crate::run::other;
use crate::site::Site;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wrong {
    Full,
    Permission,
    ReadOnly,
    Missing,
    /// An empty folder lies where the volume was.
    NotMounted,
    Truncated,
    Flipped,
    OtherFile,
    Killed,
}

impl Wrong {
    /// Whether it is about one file.
    pub const fn damages(self) -> bool {
        matches!(self, Self::Truncated | Self::Flipped | Self::OtherFile)
    }
}

/// Beside the root: it has gone wrong; for a damaged file, its path in the first line and behind it what was there.
pub const STRUCK: &str = "struck";

/// Brings it about, and to an end.
pub struct Damage {
    pub root: PathBuf,
    pub folder: PathBuf,
    pub wrong: Wrong,
}

impl Damage {
    fn strike(&self, key: &str) {
        let file = self.root.join(key);
        let mut note = format!("{key}\n").into_bytes();
        if self.wrong.damages() {
            note.extend(std::fs::read(&file).unwrap_or_default());
        }
        // Before it is full or read-only.
        std::fs::write(self.folder.join(STRUCK), note).unwrap();
        match self.wrong {
            Wrong::Full => fill(&self.folder.join("filler")),
            Wrong::Permission => mode(&self.root, 0),
            Wrong::ReadOnly => remount(&self.folder, "ro"),
            Wrong::Missing => std::fs::rename(&self.root, self.folder.join("away")).unwrap(),
            Wrong::NotMounted => {
                std::fs::rename(&self.root, self.folder.join("away")).unwrap();
                std::fs::create_dir(&self.root).unwrap();
            }
            Wrong::Truncated => {
                let file = std::fs::File::options().write(true).open(file).unwrap();
                file.set_len(file.metadata().unwrap().len() / 2).unwrap();
            }
            Wrong::Flipped => {
                let mut bytes = std::fs::read(&file).unwrap();
                bytes[25] ^= 1;
                std::fs::write(file, bytes).unwrap();
            }
            Wrong::OtherFile => {
                std::fs::create_dir_all(file.parent().unwrap()).unwrap();
                std::fs::write(file, other()).unwrap();
            }
            Wrong::Killed => {
                Command::new("kill").args(["-9", &std::process::id().to_string()]).status().unwrap();
                std::thread::sleep(std::time::Duration::from_secs(5));
            }
        }
    }

    /// It is over, by itself or by what a person does about it.
    pub fn end(&self) {
        match self.wrong {
            Wrong::Full => std::fs::remove_file(self.folder.join("filler")).unwrap(),
            Wrong::Permission => mode(&self.root, 0o700),
            Wrong::ReadOnly => remount(&self.folder, "rw"),
            Wrong::Missing => std::fs::rename(self.folder.join("away"), &self.root).unwrap(),
            Wrong::NotMounted => {
                assert_eq!(std::fs::read_dir(&self.root).unwrap().count(), 0, "something was put where no volume is");
                std::fs::remove_dir(&self.root).unwrap();
                std::fs::rename(self.folder.join("away"), &self.root).unwrap();
            }
            Wrong::Truncated | Wrong::Flipped | Wrong::OtherFile => {
                let note = std::fs::read(self.folder.join(STRUCK)).unwrap();
                let end = note.iter().position(|b| *b == b'\n').unwrap();
                let file = self.root.join(std::str::from_utf8(&note[..end]).unwrap());
                match &note[end + 1..] {
                    [] => std::fs::remove_file(file).unwrap(),
                    there => std::fs::write(file, there).unwrap(),
                }
            }
            Wrong::Killed => {}
        }
    }
}

/// In ever smaller pieces, until not a byte is free.
fn fill(filler: &Path) {
    let mut size = 4 << 20;
    while size > 0 {
        let mut all = std::fs::read(filler).unwrap_or_default();
        all.resize(all.len() + size, 0);
        if std::fs::write(filler, &all).is_err() {
            size /= 2;
        }
    }
}

fn mode(path: &Path, mode: u32) {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}

fn remount(folder: &Path, how: &str) {
    let done = Command::new("mount").args(["-o", &format!("remount,{how}")]).arg(folder).status().unwrap();
    assert!(done.success(), "can't remount {how}");
}

/// A folder where it goes wrong right before the first call of a site; a write is killed right before it is linked.
pub struct Striking {
    inner: Filesystem,
    site: Site,
    layout: Layout,
    damage: Arc<Damage>,
    done: AtomicBool,
    /// Links until the kill; 0 = none.
    links: Arc<AtomicUsize>,
}

impl Striking {
    pub fn new(store: Filesystem, site: Site, damage: Damage) -> Self {
        let (damage, links) = (Arc::new(damage), Arc::new(AtomicUsize::new(0)));
        let (own, left) = (Arc::clone(&damage), Arc::clone(&links));
        let inner = store.failing(Arc::new(move |step| {
            if step == Step::Link && left.load(Ordering::Relaxed) > 0 && left.fetch_sub(1, Ordering::Relaxed) == 1 {
                own.strike("");
            }
            Ok(())
        }));
        let layout = Layout::new(PREFIX).unwrap();
        Self { inner, site, layout, damage, done: AtomicBool::new(false), links }
    }

    fn called(&self, is_one: bool, key: &str, files: usize) {
        if !is_one || self.done.swap(true, Ordering::Relaxed) {
            return;
        }
        if self.damage.wrong == Wrong::Killed {
            self.links.store(files, Ordering::Relaxed);
        } else {
            self.damage.strike(key);
        }
    }
}

#[async_trait]
impl Store for Striking {
    fn fingerprint(&self) -> &Fingerprint {
        self.inner.fingerprint()
    }

    async fn put_new(&self, key: &str, body: Bytes, meta: &Meta) -> Result<Put, StoreError> {
        let is_one = self.site.is_in(Site::PUTS) || self.site == Site::Probe && !self.damage.wrong.damages();
        // What is said of an object is a file of its own, and the first.
        let files = if meta.is_empty() { 1 } else { 2 };
        self.called(is_one && self.site.is_about(&self.layout, key), key, files);
        self.inner.put_new(key, body, meta).await
    }

    async fn get(&self, key: &str, limit: usize) -> Result<Option<Object>, StoreError> {
        let is_one = self.site.is_in(Site::READS) || matches!(self.site, Site::Probe | Site::Whole);
        self.called(is_one && self.site.is_about(&self.layout, key), key, 0);
        self.inner.get(key, limit).await
    }

    async fn head(&self, key: &str) -> Result<Option<Head>, StoreError> {
        self.inner.head(key).await
    }

    async fn settle(&self, key: &str) -> Result<(), StoreError> {
        self.inner.settle(key).await
    }

    fn rely_on(&self, key: &str) {
        self.inner.rely_on(key);
    }

    async fn keeps_checksum(&self, key: &str) -> Result<bool, StoreError> {
        self.inner.keeps_checksum(key).await
    }

    async fn list(&self, what: &List<'_>) -> Result<Page, StoreError> {
        let begin = match self.site {
            Site::Generation => self.layout.catalogue(),
            _ => self.layout.manifests(),
        };
        let is_one = matches!(self.site, Site::Generation | Site::ReindexList) && what.prefix.starts_with(&begin);
        self.called(is_one, what.prefix, 0);
        self.inner.list(what).await
    }

    async fn identity(&self) -> Result<String, StoreError> {
        self.inner.identity().await
    }
}
