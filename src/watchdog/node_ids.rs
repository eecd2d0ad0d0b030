//! Ids of nodes as numbers, in 16 bytes for most workflows.

use std::ops::Deref;

/// Ids of nodes, as numbers; up to three need no memory of their own.
#[derive(Clone, Debug)]
pub enum NodeIds {
    Few { ids: [u32; 3], count: u8 },
    Many(Box<Box<[u32]>>),
}

impl Default for NodeIds {
    fn default() -> Self {
        Self::Few { ids: [0; 3], count: 0 }
    }
}

impl From<Vec<u32>> for NodeIds {
    fn from(all: Vec<u32>) -> Self {
        let mut ids = [0; 3];
        match (ids.get_mut(..all.len()), u8::try_from(all.len())) {
            (Some(few), Ok(count)) => {
                few.copy_from_slice(&all);
                Self::Few { ids, count }
            }
            _ => Self::Many(Box::new(all.into_boxed_slice())),
        }
    }
}

impl Deref for NodeIds {
    type Target = [u32];

    fn deref(&self) -> &[u32] {
        match self {
            Self::Few { ids, count } => ids.get(..usize::from(*count)).unwrap_or_default(),
            Self::Many(all) => all,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn node_ids_read_back_as_they_were() {
        for length in 0..6 {
            let all: Vec<u32> = (1..=length).collect();
            assert_eq!(&*NodeIds::from(all.clone()), all.as_slice());
        }
        assert_eq!(size_of::<NodeIds>(), 16);
    }
}
