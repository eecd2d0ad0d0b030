//! Batches: where they lie, and lines in and out of them.

use std::collections::BTreeMap;

use super::Row;
use crate::api::time::Time;
use crate::archive::digest::Digest;
use crate::archive::gzip::{self, Damaged};
use crate::archive::key::{Layout, is_part, stamp};

/// Batches longer than this when unpacked are not read, in bytes.
pub const LARGEST: usize = 256 << 20;
const ENDING: &str = ".jsonl.gz";
const COMPLETE: &str = "_complete";

/// Where lines lie: cluster, namespace and day.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Partition {
    pub cluster: String,
    pub namespace: String,
    /// `2026-11-21`.
    pub date: String,
}

impl Partition {
    pub fn of(row: &Row) -> Self {
        Self { cluster: value(&row.summary.cluster), namespace: value(&row.summary.namespace), date: row.date() }
    }

    fn folder(&self) -> String {
        format!("cluster={}/namespace={}/date={}/", self.cluster, self.namespace, self.date)
    }
}

/// A value as part of a key.
pub(super) fn value(text: &str) -> String {
    if is_part(text) {
        return text.to_owned();
    }
    let fine = |c: char| if c.is_ascii_alphanumeric() || c == '-' { c } else { '_' };
    format!("_{}", text.chars().take(60).map(fine).collect::<String>())
}

/// What a generation begins with.
pub fn generation(layout: &Layout, generation: u32) -> String {
    format!("{}g={generation}/", layout.catalogue())
}

/// The object that says that a generation is whole.
pub fn complete(layout: &Layout, number: u32) -> String {
    format!("{}{COMPLETE}", generation(layout, number))
}

/// What the batches of a partition begin with.
pub fn partition(layout: &Layout, number: u32, partition: &Partition) -> String {
    format!("{}{}", generation(layout, number), partition.folder())
}

/// Whether a key is that of a batch.
pub fn is_batch(key: &str) -> bool {
    key.ends_with(ENDING)
}

/// Packs lines of one partition: key and content. The same lines at the same time have the same key.
pub fn pack(layout: &Layout, number: u32, of: &Partition, rows: &[&Row], now: Time) -> (String, Vec<u8>) {
    let mut lines = Vec::with_capacity(rows.len() * 1024);
    for row in rows {
        let before = lines.len();
        if serde_json::to_writer(&mut lines, row).is_err() {
            lines.truncate(before);
            continue;
        }
        lines.push(b'\n');
    }
    let name = format!("{}_{}{ENDING}", stamp(now.get()), Digest::of(&lines).short());
    (format!("{}{name}", partition(layout, number, of)), gzip::pack(&lines))
}

/// The lines of a batch, and how many could not be read.
///
/// # Errors
/// It is damaged as a whole.
pub fn unpack(packed: &[u8]) -> Result<(Vec<Row>, usize), Damaged> {
    let plain = gzip::unpack(packed, LARGEST)?;
    let (mut rows, mut odd) = (Vec::new(), 0);
    for line in plain.split(|b| *b == b'\n').filter(|line| !line.is_empty()) {
        match serde_json::from_slice(line) {
            Ok(row) => rows.push(row),
            Err(_) => odd += 1,
        }
    }
    Ok((rows, odd))
}

/// Lines by partition.
pub fn by_partition(rows: &[Row]) -> BTreeMap<Partition, Vec<&Row>> {
    let mut all: BTreeMap<Partition, Vec<&Row>> = BTreeMap::new();
    for row in rows {
        all.entry(Partition::of(row)).or_default().push(row);
    }
    all
}
