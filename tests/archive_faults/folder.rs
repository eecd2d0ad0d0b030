//! The cells of a folder: real errors of a real filesystem, brought about at a chosen step of a write.
//!
//! What needs a filesystem of its own (full, read-only) or a user without root's rights (permission) runs in a child: this
//! program once more, in user and mount namespaces of its own with a tmpfs of 256 KiB and without the capabilities that
//! pass over permissions. No root is needed for that. Where namespaces are forbidden these cells are listed as such.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use unstick::archive::key::Layout;
use unstick::archive::store::filesystem::{Filesystem, Step};
use unstick::archive::store::probe::probe;
use unstick::archive::store::{List, Location, LocationKind, Store};

use crate::bucket::judged;
use crate::run::{Run, now, other};
use crate::table::{Outcome, Site};
use Outcome::{Fails, Holds, Impossible};

const PREFIX: &str = "workflow-archives";
/// In the environment of a child: what it is to play, and where.
const CHILD: &str = "UNSTICK_FAULT_CELL";
const WHERE: &str = "UNSTICK_FAULT_FOLDER";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wrong {
    Full,
    Permission,
    ReadOnly,
    Missing,
    NotMounted,
    Truncated,
    Flipped,
    OtherFile,
    Killed,
}

pub struct Row {
    pub name: &'static str,
    pub wrong: Wrong,
    pub outcomes: [Outcome; 5],
}

const NOT_YET: Outcome = Impossible("nothing is there before the put");
const NOT_READ: Outcome = Impossible("a manifest that was just made is not read");
const READS: Outcome = Impossible("a read needs neither room nor the right to write");
const NO_RENAME: Outcome = Impossible("a read renames nothing");
const DAMAGED: [Outcome; 5] = [NOT_YET, Fails("ReadBackDiffers"), NOT_READ, Fails("CopyDiffers"), Fails("Corrupt")];

pub fn rows() -> Vec<Row> {
    let row = |name, wrong, outcomes| Row { name, wrong, outcomes };
    let writes = |reason| [Fails(reason), READS, Fails(reason), Holds, Fails(reason)];
    vec![
        row("disk full", Wrong::Full, writes("DiskFull")),
        row("permission", Wrong::Permission, [Fails("AccessDenied"); 5]),
        row("read-only", Wrong::ReadOnly, writes("ReadOnly")),
        row("missing", Wrong::Missing, [Fails("NoSuchBucket"); 5]),
        // That nothing is put there is for the probe to see to: a put can't tell an empty volume from none.
        row(
            "another volume, or none",
            Wrong::NotMounted,
            [Holds, Fails("StoreFailed"), Fails("StoreFailed"), Fails("NotArchived"), Fails("NotMounted")],
        ),
        row("truncated", Wrong::Truncated, DAMAGED),
        row("flipped byte", Wrong::Flipped, DAMAGED),
        row(
            "wrong file",
            Wrong::OtherFile,
            [Fails("Collision"), Fails("ReadBackDiffers"), Fails("Collision"), Fails("CopyDiffers"), Fails("Corrupt")],
        ),
        row("killed before the rename", Wrong::Killed, [Fails("NotArchived"), NO_RENAME, Holds, NO_RENAME, Holds]),
    ]
}

/// Whether this machine lets us have namespaces of our own.
pub fn has_namespaces() -> bool {
    let tried = Command::new("unshare").args(["--user", "--map-root-user", "--mount", "setpriv", "--version"]).output();
    tried.is_ok_and(|out| out.status.success())
}

pub const fn needs_namespaces(wrong: Wrong) -> bool {
    matches!(wrong, Wrong::Full | Wrong::Permission | Wrong::ReadOnly)
}

/// Plays a cell, in a child if need be.
pub fn play(wrong: Wrong, site: Site, outcome: Outcome) -> Result<(), String> {
    let folder = tempfile::tempdir().unwrap();
    if !needs_namespaces(wrong) {
        return Cell::new(folder.path(), wrong, site).play(outcome);
    }
    let own =
        "mount -t tmpfs -o size=256k tmpfs \"$1\" && exec setpriv --bounding-set=-dac_override,-dac_read_search \"$2\"";
    let out = Command::new("unshare")
        .args(["--user", "--map-root-user", "--mount", "sh", "-c", own, "sh"])
        .arg(folder.path())
        .arg(std::env::current_exe().unwrap())
        .env(CHILD, format!("{wrong:?} {site:?} play"))
        .env(WHERE, folder.path())
        .output()
        .unwrap();
    if out.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&out.stderr).into_owned()) }
}

/// What a child of ours does; `None` in the test program itself.
pub fn child() -> Option<Result<(), String>> {
    let cell = std::env::var(CHILD).ok()?;
    let folder = PathBuf::from(std::env::var_os(WHERE)?);
    for row in rows() {
        for site in Site::ALL {
            let cell_of = |what: &str| format!("{:?} {site:?} {what}", row.wrong);
            if cell == cell_of("play") {
                return Some(Cell::new(&folder, row.wrong, site).play(row.outcomes[site as usize]));
            }
            if cell == cell_of("die") {
                let cell = Cell::new(&folder, row.wrong, site);
                let _ = cell.act(&cell.failing());
                return Some(Err("it was not killed".to_owned()));
            }
        }
    }
    Some(Err(format!("no cell {cell}")))
}

struct Cell {
    folder: PathBuf,
    root: PathBuf,
    wrong: Wrong,
    site: Site,
    run: Run,
}

impl Cell {
    fn new(folder: &Path, wrong: Wrong, site: Site) -> Self {
        let root = folder.join("root");
        let _ = std::fs::create_dir(&root);
        let fingerprint = Filesystem::new(&root, PREFIX).fingerprint().clone();
        let layout = Layout::new(PREFIX).unwrap();
        let (kind, cluster) = (LocationKind::Filesystem, "default".to_owned());
        let location = Location { name: "main".into(), kind, layout, fingerprint, cluster, conditional_put: true };
        Self { folder: folder.to_owned(), root, wrong, site, run: Run::new("run-one", location) }
    }

    fn store(&self) -> Filesystem {
        Filesystem::new(&self.root, PREFIX)
    }

    /// The same folder, where it goes wrong at the step that the site means. Files are written in this order: what is
    /// said of the body, the body, the manifest; a probe writes one.
    fn failing(&self) -> Filesystem {
        let (step, file) = match (self.wrong, self.site) {
            (Wrong::Killed, Site::Put) => (Step::Link, 2),
            (Wrong::Killed, Site::Manifest) => (Step::Link, 3),
            (Wrong::Killed, _) => (Step::Link, 1),
            (_, Site::ReadBack) => (Step::SyncFolder, 2),
            (_, Site::Manifest) => (Step::Create, 3),
            _ => return self.store(),
        };
        let (seen, own) = (AtomicUsize::new(0), Self::new(&self.folder, self.wrong, self.site));
        self.store().failing(Arc::new(move |now| {
            if now == step && seen.fetch_add(1, Ordering::Relaxed) + 1 == file {
                own.strike();
            }
            Ok(())
        }))
    }

    /// What the site does, and what it said.
    fn act(&self, store: &Filesystem) -> Result<&'static str, (&'static str, String)> {
        crate::runtime().block_on(async {
            match self.site {
                Site::Probe => {
                    let first = (self.wrong == Wrong::NotMounted).then_some("2026-11-22");
                    let said = probe(store, &self.run.location, first, now()).await;
                    said.map(|_| "verified").map_err(|e| (e.kind.reason(), e.to_string()))
                }
                Site::Verify => {
                    let said = self.run.verify(store).await;
                    said.map(|_| "verified").map_err(|e| (e.reason(), e.to_string()))
                }
                _ => self.run.keep(store).await.map(|_| "kept").map_err(|e| (e.reason(), e.to_string())),
            }
        })
    }

    fn play(&self, outcome: Outcome) -> Result<(), String> {
        let damages = matches!(self.wrong, Wrong::Truncated | Wrong::Flipped | Wrong::OtherFile);
        if self.site == Site::Verify || (damages && self.site == Site::Manifest) {
            self.keep().map_err(|e| format!("not kept without a fault: {e}"))?;
        }
        if (damages || self.wrong == Wrong::NotMounted) && self.site == Site::Probe {
            let probed = crate::runtime().block_on(probe(&self.store(), &self.run.location, None, now()));
            probed.map_err(|e| e.to_string())?;
        }
        let said = if self.wrong == Wrong::Killed {
            self.die()?;
            let verified = crate::runtime().block_on(self.run.verify(&self.store()));
            match self.site {
                Site::Probe => self.act(&self.store()),
                _ => verified.map(|_| "verified").map_err(|e| (e.reason(), e.to_string())),
            }
        } else {
            if !matches!(self.site, Site::ReadBack | Site::Manifest) || damages && self.site == Site::Manifest {
                self.strike();
            }
            let store = if damages && self.site == Site::Manifest { self.store() } else { self.failing() };
            self.act(&store)
        };
        judged(outcome, said)?;
        if let Ok(proof) = crate::runtime().block_on(self.run.verify(&self.store())) {
            self.judge(proof.key()).map_err(|e| format!("false proof: {e}"))?;
        }
        self.end();
        if self.site == Site::Probe {
            return self.act(&self.store()).map(drop).map_err(|e| format!("not ready when it was over: {e:?}"));
        }
        let key = self.keep().map_err(|e| format!("not kept when it was over: {e}"))?;
        let proof = crate::runtime().block_on(self.run.verify(&self.store()));
        let proof = proof.map_err(|e| format!("not verified when it was over: {e}"))?;
        if proof.key() != key {
            return Err("the proof is of another archive".to_owned());
        }
        self.judge(&key)?;
        // Nothing half is ever seen.
        let page = crate::runtime().block_on(self.store().list(&List::default())).map_err(|e| e.to_string())?;
        let keys: Vec<String> = page.objects.into_iter().map(|o| o.key).collect();
        if keys.len() == 2 { Ok(()) } else { Err(format!("more than body and manifest: {keys:?}")) }
    }

    fn keep(&self) -> Result<String, String> {
        crate::runtime().block_on(self.run.keep(&self.store())).map(|kept| kept.key).map_err(|e| e.to_string())
    }

    /// Does it in a child that is killed on the way.
    fn die(&self) -> Result<(), String> {
        use std::os::unix::process::ExitStatusExt;
        let mut child = Command::new(std::env::current_exe().unwrap());
        child.env(CHILD, format!("{:?} {:?} die", self.wrong, self.site)).env(WHERE, &self.folder);
        let status = child.stderr(Stdio::null()).status().unwrap();
        if status.signal() == Some(9) { Ok(()) } else { Err(format!("it was not killed: {status}")) }
    }

    /// The file that the site is about.
    fn file(&self) -> PathBuf {
        let ending = match self.site {
            Site::Manifest => ".manifest.json",
            Site::Probe => "probe/2026-11-22",
            _ => ".json.gz",
        };
        let mut folders = vec![self.root.clone()];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path);
                } else if path.to_string_lossy().ends_with(ending) {
                    return path;
                }
            }
        }
        panic!("no file ends with {ending}")
    }

    fn strike(&self) {
        match self.wrong {
            Wrong::Full => {
                let filler = self.folder.join("filler");
                let mut size = 256 << 10;
                while size > 0 {
                    // In ever smaller pieces, until not a byte is free.
                    let mut all = std::fs::read(&filler).unwrap_or_default();
                    all.resize(all.len() + size, 0);
                    if std::fs::write(&filler, &all).is_err() {
                        size /= 2;
                    }
                }
            }
            Wrong::Permission => mode(&self.forbidden(), 0),
            Wrong::ReadOnly => remount(&self.folder, "ro"),
            Wrong::Missing => std::fs::rename(&self.root, self.folder.join("away")).unwrap(),
            Wrong::NotMounted => {
                std::fs::rename(&self.root, self.folder.join("away")).unwrap();
                std::fs::create_dir(&self.root).unwrap();
            }
            Wrong::Truncated => {
                let file = std::fs::File::options().write(true).open(self.file()).unwrap();
                file.set_len(file.metadata().unwrap().len() / 2).unwrap();
            }
            Wrong::Flipped => {
                let mut bytes = std::fs::read(self.file()).unwrap();
                let middle = bytes.len() / 2;
                bytes[middle] ^= 1;
                std::fs::write(self.file(), bytes).unwrap();
            }
            Wrong::OtherFile if self.site == Site::Put => {
                // Somebody else was first, with something else.
                let key = self.keep().unwrap();
                std::fs::write(self.root.join(key), other()).unwrap();
            }
            Wrong::OtherFile => std::fs::write(self.file(), other()).unwrap(),
            Wrong::Killed => {
                Command::new("kill").args(["-9", &std::process::id().to_string()]).status().unwrap();
                std::thread::sleep(std::time::Duration::from_secs(5));
            }
        }
    }

    /// What may not be touched: the folder to write to, or the file to read.
    fn forbidden(&self) -> PathBuf {
        match self.site {
            Site::Put | Site::Probe => self.root.clone(),
            Site::Manifest => self.root.join(format!("{PREFIX}-index/manifests")),
            Site::ReadBack | Site::Verify => self.file(),
        }
    }

    /// It is over, by itself or by what a person does about it.
    fn end(&self) {
        match self.wrong {
            Wrong::Full => std::fs::remove_file(self.folder.join("filler")).unwrap(),
            Wrong::Permission => mode(&self.forbidden(), 0o700),
            Wrong::ReadOnly => remount(&self.folder, "rw"),
            Wrong::Missing => std::fs::rename(self.folder.join("away"), &self.root).unwrap(),
            Wrong::NotMounted => {
                std::fs::remove_dir_all(&self.root).unwrap();
                std::fs::rename(self.folder.join("away"), &self.root).unwrap();
            }
            Wrong::Truncated | Wrong::Flipped | Wrong::OtherFile => std::fs::remove_file(self.file()).unwrap(),
            Wrong::Killed => {}
        }
    }

    fn judge(&self, key: &str) -> Result<(), String> {
        let bytes = std::fs::read(self.root.join(key)).map_err(|e| format!("the judge can't read {key}: {e}"))?;
        self.run.judge(&bytes)
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
