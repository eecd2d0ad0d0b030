//! Whether a folder is the volume that it is meant to be. A volume that isn't mounted leaves an empty folder behind: what
//! is stored there is gone with the container, and what was stored on the volume seems never to have been.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use super::{Fault, Location, Store, StoreError};

/// In a container: the folder must lie on another file system than the container's own root, which lives no longer than
/// the container does. What isn't there at all is left to the probe to say.
///
/// # Errors
/// It lies on the same one.
pub fn apart_from(root: &Path, folder: &Path) -> Result<(), StoreError> {
    let (Ok(own), Ok(found)) = (fs::metadata(root), fs::metadata(folder)) else { return Ok(()) };
    if own.dev() != found.dev() {
        return Ok(());
    }
    let text = format!("{} is a folder of the container itself: no volume is mounted there", folder.display());
    Err(StoreError::new(Fault::NotMounted, text))
}

/// What was stored in a folder isn't there any more.
pub fn gone(folder: &Path) -> StoreError {
    let text = format!("{} has nothing of what was stored there: is the volume mounted?", folder.display());
    StoreError::new(Fault::NotMounted, text)
}

/// The probe of this day must still be there: nothing of ours deletes.
///
/// # Errors
/// It isn't, or the store can't be asked.
pub async fn as_since(store: &dyn Store, location: &Location, day: &str) -> Result<(), StoreError> {
    if store.head(&location.layout.probe(day)).await?.is_some() {
        return Ok(());
    }
    let text = format!("the path has nothing of what was stored there since {day}: is the volume mounted?");
    Err(StoreError::new(Fault::NotMounted, text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_of_the_container_itself_is_no_volume() {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("archive");
        assert_eq!(apart_from(root.path(), &folder), Ok(()), "that it is missing says the probe");
        fs::create_dir(&folder).unwrap();
        let refused = apart_from(root.path(), &folder).unwrap_err();
        assert_eq!(refused.kind, Fault::NotMounted, "{refused}");
        // Always a file system of its own.
        assert_eq!(apart_from(Path::new("/proc"), &folder), Ok(()));
    }
}
