//! The calls along keep, verify, confirm, append, reindex and probe at which something can go wrong.

use unstick::archive::key::Layout;
use unstick_bed::faultproxy::Which;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Site {
    /// `keep`: the body is put.
    Put,
    /// `keep`: the body is read back.
    ReadBack,
    /// `keep`: the events are put.
    EventsPut,
    /// `keep`: the events are read back.
    EventsBack,
    /// `keep`: the manifest is put.
    Manifest,
    /// `keep`, once more: the manifest that is there is read.
    ManifestBack,
    /// `verify_for_delete`: the body is read.
    Verify,
    /// `verify_for_delete` of what was archived under other rules: the manifest is read.
    OtherRules,
    /// What a mark on the workflow says is confirmed: the manifest is read.
    Confirm,
    /// Lines of the catalogue: their batch is put.
    Append,
    /// The first lines of a catalogue: its first generation is made.
    Begin,
    /// Lines of the catalogue: generations are listed.
    Generation,
    /// Lines of the catalogue: whether a generation is whole is asked.
    Whole,
    /// `reindex`: manifests are listed.
    ReindexList,
    /// `reindex`: manifests are read.
    ReindexManifests,
    /// `reindex`: the lines of the generation before are read.
    ReindexLines,
    /// `reindex`: a batch of the new generation is put.
    ReindexWrite,
    /// `probe`: any call.
    Probe,
}

#[allow(clippy::enum_glob_use, reason = "a table is read by its words")]
use Site::*;

impl Site {
    pub const ALL: [Self; 18] = [
        Put,
        ReadBack,
        EventsPut,
        EventsBack,
        Manifest,
        ManifestBack,
        Verify,
        OtherRules,
        Confirm,
        Append,
        Begin,
        Generation,
        Whole,
        ReindexList,
        ReindexManifests,
        ReindexLines,
        ReindexWrite,
        Probe,
    ];
    /// Where a conditional put is.
    pub const PUTS: &[Self] = &[Put, EventsPut, Manifest, Append, Begin, ReindexWrite];
    /// Where an object is read.
    pub const READS: &[Self] =
        &[ReadBack, EventsBack, ManifestBack, Verify, OtherRules, Confirm, ReindexManifests, ReindexLines];
    /// Where something is listed or asked for, and not read.
    pub const LOOKS: &[Self] = &[Generation, Whole, ReindexList];
    /// Where lines of the catalogue are added.
    pub const APPENDS: &[Self] = &[Append, Begin, Generation, Whole];
    pub const REINDEXES: &[Self] = &[ReindexList, ReindexManifests, ReindexLines, ReindexWrite];
    /// Where a run is stored.
    pub const KEEPS: &[Self] = &[Put, ReadBack, EventsPut, EventsBack, Manifest, ManifestBack];

    pub fn is_in(self, some: &[Self]) -> bool {
        some.contains(&self)
    }

    /// Whether a key is one that the site works on.
    pub fn is_about(self, layout: &Layout, key: &str) -> bool {
        let events = key.ends_with(".events.json.gz");
        match self {
            Put | ReadBack | Verify => key.starts_with(&layout.bodies()) && !events,
            EventsPut | EventsBack => events,
            Manifest | ManifestBack | OtherRules | Confirm | ReindexManifests => key.starts_with(&layout.manifests()),
            Append | ReindexLines => key.ends_with(".jsonl.gz") && key.contains("/g=1/"),
            ReindexWrite => key.ends_with(".jsonl.gz") && key.contains("/g=2/"),
            Begin | Whole => key.ends_with("/_complete"),
            Generation | ReindexList => false,
            Probe => key.contains("-index/probe/"),
        }
    }

    /// The calls of the site, before a server.
    pub fn which(self, bucket: &str, layout: &Layout) -> Which {
        let at = |prefix: String, ending: &str| format!("/{bucket}/{prefix}*{ending}");
        let listed = |what: &str| Which::get("*").with_query("list-type").with_query(what);
        match self {
            // The events are put behind it: the first is the body's.
            Put => Which::put(&at(layout.bodies(), ".json.gz")),
            ReadBack | Verify => Which::get(&at(layout.bodies(), ".json.gz")),
            EventsPut => Which::put(&at(layout.bodies(), ".events.json.gz")),
            EventsBack => Which::get(&at(layout.bodies(), ".events.json.gz")),
            Manifest => Which::put(&at(layout.manifests(), "")),
            ManifestBack | OtherRules | Confirm | ReindexManifests => Which::get(&at(layout.manifests(), "")),
            Append | ReindexWrite => Which::put(&at(layout.catalogue(), ".jsonl.gz")),
            ReindexLines => Which::get(&at(layout.catalogue(), ".jsonl.gz")),
            Begin => Which::put(&at(layout.catalogue(), "_complete")),
            Whole => Which::get(&at(layout.catalogue(), "_complete")),
            Generation => listed("-index%2Fcatalogue"),
            ReindexList => listed("-index%2Fmanifests"),
            Probe => Which::any(),
        }
    }

    /// The last call before those of the site; `None` if they are the first.
    pub fn before(self, bucket: &str, layout: &Layout) -> Option<Which> {
        let of = |site: Self| Some(site.which(bucket, layout));
        match self {
            Put | Verify | Confirm | Generation | Probe => None,
            ReadBack => of(Put),
            EventsPut | Manifest | OtherRules => of(ReadBack),
            EventsBack => of(EventsPut),
            ManifestBack => of(Manifest),
            Append => of(Whole),
            Begin | Whole | ReindexList => of(Generation),
            ReindexManifests => of(ReindexList),
            ReindexLines => Some(Which::get("*").with_query("date%3D2")),
            ReindexWrite => of(ReindexLines),
        }
    }
}
