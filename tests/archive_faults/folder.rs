//! The cells of a folder: real errors of a real filesystem, brought about right before a chosen call.
//!
//! What needs a filesystem of its own (full, read-only) or a user without root's rights (permission) runs in a child: this
//! program once more, in user and mount namespaces of its own with a tmpfs of 256 KiB and without the capabilities that
//! pass over permissions. No root is needed for that. Where namespaces are forbidden these cells are listed as such.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;

use unstick::archive::key::Layout;
use unstick::archive::store::filesystem::Filesystem;
use unstick::archive::store::probe::probe;
use unstick::archive::store::{List, Location, LocationKind, Store};

use crate::acts::Story;
use crate::bucket::judged;
use crate::damage::{Damage, STRUCK, Striking, Wrong};
use crate::run::{Run, now};
use crate::site::Site;
use crate::table::{Outcome, Outcomes};
use Outcome::{Fails, Holds, Impossible};

pub const PREFIX: &str = "workflow-archives";
/// In the environment of a child: what it is to play, and where.
const CHILD: &str = "UNSTICK_FAULT_CELL";
const WHERE: &str = "UNSTICK_FAULT_FOLDER";
const LARGE: &str = "UNSTICK_FAULT_LARGE";

pub struct Row {
    pub name: &'static str,
    pub wrong: Wrong,
    pub outcomes: Outcomes,
}

const NOT_YET: Outcome = Impossible("nothing is there before the put");
const NO_OBJECT: Outcome = Impossible("what is listed or asked for has no content that counts");
const READS: Outcome = Impossible("a read needs neither room nor the right to write");
const NO_RENAME: Outcome = Impossible("a read renames nothing");

fn damaged() -> Outcomes {
    Outcomes::all(NOT_YET).reads_as_another().but(Site::LOOKS, NO_OBJECT)
}

/// Only what is written fails.
fn writes(reason: &'static str) -> Outcomes {
    Outcomes::all(READS)
        .but(Site::PUTS, Fails(reason))
        .but(&[Site::Probe], Fails(reason))
        .but(&[Site::ManifestBack, Site::Verify, Site::OtherRules, Site::Confirm], Holds)
}

pub fn rows() -> Vec<Row> {
    let row = |name, wrong, outcomes| Row { name, wrong, outcomes };
    let all = |reason| Outcomes::all(Fails(reason));
    vec![
        row("disk full", Wrong::Full, writes("DiskFull")),
        row("permission", Wrong::Permission, all("AccessDenied")),
        row("read-only", Wrong::ReadOnly, writes("ReadOnly")),
        row("missing", Wrong::Missing, all("NoSuchBucket")),
        row("another volume, or none", Wrong::NotMounted, all("NotMounted")),
        row("truncated", Wrong::Truncated, damaged()),
        row("flipped byte", Wrong::Flipped, damaged()),
        row(
            "wrong file",
            Wrong::OtherFile,
            damaged()
                .but(&[Site::Put, Site::EventsPut, Site::Manifest], Fails("Collision"))
                .but(&[Site::Append, Site::ReindexWrite], Fails("Corrupt"))
                .but(&[Site::Begin], NO_OBJECT),
        ),
        row(
            "killed before the rename",
            Wrong::Killed,
            Outcomes::all(NO_RENAME)
                .but(Site::PUTS, Holds)
                .but(&[Site::Probe], Holds)
                .but(&[Site::Put], Fails("NotArchived")),
        ),
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
pub fn play(wrong: Wrong, site: Site, outcome: Outcome, large: bool) -> Result<(), String> {
    let folder = tempfile::tempdir().unwrap();
    if !needs_namespaces(wrong) {
        return Cell::new(folder.path(), wrong, site, large).play(outcome);
    }
    let own =
        "mount -t tmpfs -o size=$3 tmpfs \"$1\" && exec setpriv --bounding-set=-dac_override,-dac_read_search \"$2\"";
    let out = Command::new("unshare")
        .args(["--user", "--map-root-user", "--mount", "sh", "-c", own, "sh"])
        .arg(folder.path())
        .arg(std::env::current_exe().unwrap())
        .arg(if large { "4m" } else { "256k" })
        .env(CHILD, format!("{wrong:?} {site:?} play"))
        .env(LARGE, if large { "1" } else { "" })
        .env(WHERE, folder.path())
        .output()
        .unwrap();
    if out.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&out.stderr).into_owned()) }
}

/// What a child of ours does; `None` in the test program itself.
pub fn child() -> Option<Result<(), String>> {
    let cell = std::env::var(CHILD).ok()?;
    let folder = PathBuf::from(std::env::var_os(WHERE)?);
    let large = std::env::var_os(LARGE).is_some_and(|large| !large.is_empty());
    for row in rows() {
        for site in Site::ALL {
            let cell_of = |what: &str| format!("{:?} {site:?} {what}", row.wrong);
            if cell == cell_of("play") {
                return Some(Cell::new(&folder, row.wrong, site, large).play(row.outcomes.at(site)));
            }
            if cell == cell_of("die") {
                let cell = Cell::new(&folder, row.wrong, site, large);
                let _ = crate::runtime().block_on(cell.story.act(site, &cell.striking()));
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
    large: bool,
    store: Filesystem,
    story: Story,
}

impl Cell {
    fn new(folder: &Path, wrong: Wrong, site: Site, large: bool) -> Self {
        let root = folder.join("root");
        let _ = std::fs::create_dir(&root);
        let store = Filesystem::new(&root, PREFIX);
        let fingerprint = store.fingerprint().clone();
        let layout = Layout::new(PREFIX).unwrap();
        let (kind, cluster) = (LocationKind::Filesystem, "default".to_owned());
        let location = Location { name: "main".into(), kind, layout, fingerprint, cluster, conditional_put: true };
        let run = if large { Run::large(location) } else { Run::new("run-one", location) };
        Self { folder: folder.to_owned(), root, wrong, site, large, store, story: Story::new(run) }
    }

    fn store(&self) -> Arc<dyn Store> {
        Arc::new(self.store.clone())
    }

    /// The same folder, where it goes wrong right before the first call of the site.
    fn striking(&self) -> Arc<dyn Store> {
        let damage = Damage { root: self.root.clone(), folder: self.folder.clone(), wrong: self.wrong };
        Arc::new(Striking::new(self.store.clone(), self.site, damage))
    }

    fn play(&self, outcome: Outcome) -> Result<(), String> {
        crate::runtime().block_on(self.played(outcome))
    }

    async fn played(&self, outcome: Outcome) -> Result<(), String> {
        let (store, run) = (self.store(), &self.story.run);
        // A location is used once it was probed. Where that is what goes wrong, it is probed before for what needs it.
        if self.site != Site::Probe || self.wrong.damages() || self.wrong == Wrong::NotMounted {
            probe(&*store, &run.location, None, now()).await.map_err(|e| e.to_string())?;
        }
        self.story.prepare(self.site, &store).await?;
        let said = if self.wrong == Wrong::Killed {
            self.die()?;
            if self.site.is_in(Site::KEEPS) {
                run.verify(&*store).await.map(|_| "verified").map_err(|e| (e.reason(), e.to_string()))
            } else {
                self.story.act(self.site, &store).await
            }
        } else {
            self.story.act(self.site, &self.striking()).await
        };
        judged(outcome, &said)?;
        if self.wrong != Wrong::Killed && std::fs::exists(self.folder.join(STRUCK)).is_ok_and(|struck| !struck) {
            return Err("the fault struck nothing".to_owned());
        }
        if let Ok(proof) = run.verify(&*store).await {
            self.judge(proof.key()).map_err(|e| format!("false proof: {e}"))?;
        }
        let damage = Damage { root: self.root.clone(), folder: self.folder.clone(), wrong: self.wrong };
        damage.end();
        let Some(key) = self.story.is_well(self.site, &store, &said).await? else { return Ok(()) };
        self.judge(&key)?;
        // Nothing half is ever seen.
        let page = store.list(&List::default()).await.map_err(|e| e.to_string())?;
        let layout = &run.location.layout;
        let keys: Vec<String> = page.objects.into_iter().map(|o| o.key).collect();
        let of = |site: Site| keys.iter().filter(|key| site.is_about(layout, key)).count();
        let events = usize::from(matches!(self.site, Site::EventsPut | Site::EventsBack));
        let counts = [Site::Put, Site::Manifest, Site::EventsPut, Site::Probe].map(of);
        if counts == [1, 1, events, 1] && keys.len() == 3 + events {
            return Ok(());
        }
        Err(format!("more than body, manifest and what is beside: {keys:?}"))
    }

    /// Does it in a child that is killed on the way.
    fn die(&self) -> Result<(), String> {
        use std::os::unix::process::ExitStatusExt;
        let mut child = Command::new(std::env::current_exe().unwrap());
        child.env(CHILD, format!("{:?} {:?} die", self.wrong, self.site)).env(WHERE, &self.folder);
        child.env(LARGE, if self.large { "1" } else { "" });
        let status = child.stderr(Stdio::null()).status().unwrap();
        if status.signal() == Some(9) { Ok(()) } else { Err(format!("it was not killed: {status}")) }
    }

    fn judge(&self, key: &str) -> Result<(), String> {
        let bytes = std::fs::read(self.root.join(key)).map_err(|e| format!("the judge can't read {key}: {e}"))?;
        self.story.run.judge(&bytes)
    }
}
