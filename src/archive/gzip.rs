//! Gzip with the same bytes for the same content: level 6, no time, no name, a fixed system byte.

use std::io::{Read, Write};

use flate2::read::MultiGzDecoder;
use flate2::{Compression, GzBuilder};

use super::digest::{Digest, Running};

/// The system byte of the header: unknown.
const SYSTEM: u8 = 255;
/// Unpacked at a time when only a digest is wanted.
const PIECE: usize = 32 << 10;

/// Why packed bytes can't be unpacked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Damaged {
    #[error("it is not whole gzip data")]
    Corrupt,
    #[error("it is larger than {0} bytes when unpacked")]
    TooLarge(usize),
}

/// Compresses `bytes`.
pub fn pack(bytes: &[u8]) -> Vec<u8> {
    let room = Vec::with_capacity(bytes.len() / 6 + 64);
    let mut encoder = GzBuilder::new().mtime(0).operating_system(SYSTEM).write(room, Compression::new(6));
    // Writing to memory doesn't fail; if it did, what comes out would not have the digest that is asked for.
    let _ = encoder.write_all(bytes);
    encoder.finish().unwrap_or_default()
}

/// Unpacks at most `cap` bytes.
///
/// # Errors
/// See [`Damaged`].
pub fn unpack(packed: &[u8], cap: usize) -> Result<Vec<u8>, Damaged> {
    let mut plain = Vec::new();
    let read = decoder(packed, cap)?.read_to_end(&mut plain).map_err(|_| Damaged::Corrupt)?;
    if read > cap { Err(Damaged::TooLarge(cap)) } else { Ok(plain) }
}

/// The digest and length of what is packed, without holding it.
///
/// # Errors
/// See [`Damaged`].
pub fn digest(packed: &[u8], cap: usize) -> Result<(Digest, usize), Damaged> {
    let mut decoder = decoder(packed, cap)?;
    let (mut running, mut length, mut piece) = (Running::default(), 0, vec![0_u8; PIECE]);
    loop {
        let read = decoder.read(&mut piece).map_err(|_| Damaged::Corrupt)?;
        if read == 0 {
            return Ok((running.finish(), length));
        }
        length += read;
        if length > cap {
            return Err(Damaged::TooLarge(cap));
        }
        running.update(piece.get(..read).unwrap_or_default());
    }
}

fn decoder(packed: &[u8], cap: usize) -> Result<impl Read + '_, Damaged> {
    // An empty stream would be read as empty content.
    if packed.is_empty() {
        return Err(Damaged::Corrupt);
    }
    Ok(MultiGzDecoder::new(packed).take(cap as u64 + 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    const CAP: usize = 1 << 20;

    #[test]
    fn the_same_content_gives_the_same_bytes_with_nothing_of_this_machine() {
        let packed = pack(b"workflow");
        assert_eq!(packed, pack(b"workflow"));
        assert_eq!(packed[..10], [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255]);
        assert_eq!(unpack(&packed, CAP).unwrap(), b"workflow");
        assert_eq!(digest(&packed, CAP).unwrap(), (Digest::of(b"workflow"), 8));
    }

    #[test]
    fn damage_is_seen_wherever_it_is() {
        let plain: Vec<u8> = (0..5000_u32).flat_map(|n| (n * n).to_le_bytes()).collect();
        let packed = pack(&plain);
        for at in (10..packed.len()).step_by(97) {
            let mut flipped = packed.clone();
            flipped[at] ^= 0x10;
            let seen = digest(&flipped, CAP);
            assert!(seen.is_err() || seen.unwrap().0 != Digest::of(&plain), "{at}");
            assert_eq!(digest(&packed[..at], CAP), Err(Damaged::Corrupt), "cut at {at}");
            assert_eq!(unpack(&packed[..at], CAP), Err(Damaged::Corrupt), "cut at {at}");
        }
        assert_eq!(unpack(b"", CAP), Err(Damaged::Corrupt));
        assert_eq!(digest(b"", CAP), Err(Damaged::Corrupt));
        assert_eq!(digest(b"{\"kind\":\"Workflow\"}", CAP), Err(Damaged::Corrupt));
        assert!(digest(&[packed.clone(), b"rest".to_vec()].concat(), CAP).is_err(), "something behind it");
    }

    #[test]
    fn a_bomb_is_stopped_at_the_cap() {
        let bomb = pack(&vec![0; 8 * CAP]);
        assert!(bomb.len() < 16 << 10);
        assert_eq!(unpack(&bomb, CAP), Err(Damaged::TooLarge(CAP)));
        assert_eq!(digest(&bomb, CAP), Err(Damaged::TooLarge(CAP)));
        assert_eq!(unpack(&pack(&vec![0; CAP]), CAP).unwrap().len(), CAP);
    }
}
