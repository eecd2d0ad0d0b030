//! Lines of the catalogue: what is called written is there, whatever the store says of what was there before.

use unstick::archive::catalogue::Row;
use unstick::archive::catalogue::generation::append;
use unstick::archive::catalogue::reindex::{Terms, reindex};
use unstick::archive::catalogue::search::{Scope, batches, read};
use unstick::archive::store::{Call, Fault, StoreError};

use crate::keeping::{kept_in, wait};
use crate::memory::{Memory, Trick};
use crate::runs::{done, location, now};

const BATCH: &str = ".jsonl.gz";
const WHOLE: &str = "_complete";

fn row() -> Row {
    kept_in(&Memory::new(), &done()).unwrap().row
}

fn added(store: &Memory) -> Result<(), StoreError> {
    wait(append(store, &location().layout, &[row()], now()))
}

/// The lines that whoever asks is told.
fn told(store: &Memory) -> usize {
    wait(async {
        let mut lines = 0;
        for batch in batches(store, &location().layout, &Scope::default()).await.unwrap().unwrap_or_default() {
            lines += read(store, &batch.key).await.unwrap().rows.len();
        }
        lines
    })
}

#[test]
fn that_a_batch_is_there_already_is_looked_at() {
    // 412, and it is another's: nothing of ours is there.
    let store = Memory::new();
    store.trick(Call::Put, BATCH, 1, Trick::Exists);
    assert_eq!(added(&store).unwrap_err().kind, Fault::Other, "nothing is there");
    assert_eq!(told(&store), 0);
    store.well();
    added(&store).unwrap();
    assert_eq!(told(&store), 1);
    // Once more it is the same.
    added(&store).unwrap();
    assert_eq!(told(&store), 1);
    let batch = store.keys().into_iter().find(|key| key.ends_with(BATCH)).unwrap();
    store.set(&batch, &b"something else"[..]);
    let refused = added(&store).unwrap_err();
    assert_eq!((refused.kind, refused.message.contains(&batch)), (Fault::Corrupt, true), "{refused}");
}

#[test]
fn lines_in_a_generation_that_nobody_sees_are_not_written() {
    // It was begun and written to, and then it isn't there any more.
    let store = Memory::new();
    store.trick(Call::Get, WHOLE, 1, Trick::Gone);
    let refused = added(&store).unwrap_err();
    assert!(refused.message.contains("can't be read yet"), "{refused}");
    added(&store).unwrap();
    assert_eq!(told(&store), 1);
    // It has been there for long, and isn't to be seen: it is not begun once more.
    store.trick(Call::Get, WHOLE, 2, Trick::Gone);
    assert_eq!(added(&store).unwrap_err().kind, Fault::Other);
    // Another says that it is there, and it isn't.
    for trick in [Trick::Exists, Trick::Raced] {
        let store = Memory::new();
        store.trick(Call::Put, WHOLE, 1, trick.clone());
        assert_eq!(added(&store).unwrap_err().kind, Fault::Other);
        store.trick(Call::Put, WHOLE, 1, trick);
        let refused = wait(reindex(&store, &location().layout, Terms { now: now(), expires_after: None }, &mut |_| {}))
            .unwrap_err();
        assert!(refused.message.contains("can't be read yet"), "{refused}");
        added(&store).unwrap();
        assert_eq!(told(&store), 1);
    }
}

#[test]
fn a_generation_in_a_class_that_cannot_be_read_is_there() {
    let store = Memory::new();
    added(&store).unwrap();
    store.trick(Call::Get, WHOLE, 9, Trick::Refuse(Fault::Unreadable));
    added(&store).unwrap();
    assert_eq!(told(&store), 1);
}
