//! The probe of a location.

use unstick::archive::store::probe::probe;
use unstick::archive::store::{Call, Fault};

use crate::keeping::wait;
use crate::memory::{Memory, Trick};
use crate::runs::{location, now};

#[test]
fn one_object_a_day_and_what_the_store_can_do() {
    let store = Memory::new();
    let found = wait(probe(&store, &location(), None, now())).unwrap();
    assert!(found.capabilities.conditional_put && found.capabilities.versioning);
    assert_eq!(found.identity, "memory");
    assert_eq!(store.keys(), ["workflow-archives-index/probe/2026-11-22"]);
    let again = wait(probe(&store, &location(), None, now())).unwrap();
    assert_eq!((again, store.keys().len()), (found, 1));
}

#[test]
fn what_archiving_needs_and_does_not_get_is_told() {
    for (call, trick, wanted) in [
        (Call::Put, Trick::Refuse(Fault::AccessDenied(Call::Put)), "AccessDenied"),
        (Call::Put, Trick::Refuse(Fault::NoSuchBucket), "NoSuchBucket"),
        (Call::Get, Trick::Refuse(Fault::AccessDenied(Call::Get)), "AccessDenied"),
        (Call::List, Trick::Refuse(Fault::AccessDenied(Call::List)), "AccessDenied"),
        (Call::Get, Trick::Gone, "StoreFailed"),
        (Call::Get, Trick::Framed, "Corrupt"),
        (Call::Put, Trick::Framed, "Corrupt"),
    ] {
        let store = Memory::new();
        store.trick(call, "", 1, trick.clone());
        let refused = wait(probe(&store, &location(), None, now())).unwrap_err();
        assert_eq!(refused.kind.reason(), wanted, "{trick:?}");
    }
}
