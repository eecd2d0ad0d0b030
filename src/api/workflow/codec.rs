//! `status.compressedNodes`: base64 of gzip, zstd or brotli (Argo `util/file/fileutil.go`), decoded under a cap.
//!
//! Gzip up to Argo 4.0; from 4.1 the controller may write any of the three. Magic numbers tell gzip and zstd, what has
//! neither is taken for brotli, as Argo does. What a stream claims to need is believed only up to [`MAX_DECODED`].

use std::io::{Read, Write};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use brotli_decompressor::{BrotliDecompressStream, BrotliResult, BrotliState, StandardAlloc};

/// Decoded nodes longer than this are refused, in bytes. Argo itself refuses to write objects over 1.5 MB; this is
/// twenty times that.
pub const MAX_DECODED: usize = 32 << 20;

const ZSTD: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];
const GZIP: [u8; 2] = [0x1f, 0x8b];

/// Why compressed nodes can't be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CodecError {
    #[error("compressedNodes is not base64")]
    NotBase64,
    #[error("compressedNodes is damaged")]
    Corrupt,
    #[error("compressedNodes is larger than {} MiB when decoded", MAX_DECODED >> 20)]
    TooLarge,
}

/// The compression Argo used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Codec {
    Gzip,
    Zstd,
    Brotli,
}

impl Codec {
    /// Tells the codec by the first bytes.
    pub fn sniff(packed: &[u8]) -> Self {
        if packed.starts_with(&ZSTD) {
            Self::Zstd
        } else if packed.starts_with(&GZIP) {
            Self::Gzip
        } else {
            Self::Brotli
        }
    }
}

/// Decodes `status.compressedNodes` to the JSON text of the nodes map; [`super::Nodes::fold_map`] reads that.
///
/// # Errors
/// See [`CodecError`]. Memory stays below [`MAX_DECODED`] plus one window of the codec, whatever the input.
pub fn decode(text: &str) -> Result<String, CodecError> {
    let packed = STANDARD.decode(text.trim_ascii()).map_err(|_| CodecError::NotBase64)?;
    // Room for the most there may be, taken once: pages nobody writes to cost nothing, while a text that grows is held
    // twice for a moment, and what it leaves behind depends on who came before.
    let mut plain = Vec::with_capacity(MAX_DECODED + 1);
    unpack(&packed, &mut plain)?;
    String::from_utf8(plain).map_err(|_| CodecError::Corrupt)
}

/// How long [`decode`] would make it, in bytes, without holding it.
///
/// # Errors
/// See [`CodecError`].
pub fn decoded_len(text: &str) -> Result<usize, CodecError> {
    let packed = STANDARD.decode(text.trim_ascii()).map_err(|_| CodecError::NotBase64)?;
    let mut length = Length(0);
    unpack(&packed, &mut length)?;
    Ok(length.0)
}

fn unpack(packed: &[u8], into: &mut impl Write) -> Result<(), CodecError> {
    match Codec::sniff(packed) {
        Codec::Gzip => drain(flate2::read::MultiGzDecoder::new(packed), into),
        Codec::Zstd => zstd(packed, into),
        Codec::Brotli => brotli(packed, into),
    }
}

/// Counts what is written to it.
struct Length(usize);

impl Write for Length {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0 += bytes.len();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

fn drain(from: impl Read, into: &mut impl Write) -> Result<(), CodecError> {
    let read = std::io::copy(&mut from.take(MAX_DECODED as u64 + 1), into).map_err(|_| CodecError::Corrupt)?;
    if read > MAX_DECODED as u64 { Err(CodecError::TooLarge) } else { Ok(()) }
}

fn zstd(packed: &[u8], into: &mut impl Write) -> Result<(), CodecError> {
    // The decoder reserves the window a frame announces (up to terabytes) before it reads anything.
    if zstd_window(packed).ok_or(CodecError::Corrupt)? > MAX_DECODED as u64 {
        return Err(CodecError::TooLarge);
    }
    drain(ruzstd::decoding::StreamingDecoder::new(packed).map_err(|_| CodecError::Corrupt)?, into)
}

/// The window size a zstd frame header announces (RFC 8878 section 3.1.1.1), in bytes.
fn zstd_window(packed: &[u8]) -> Option<u64> {
    let descriptor = *packed.get(4)?;
    if descriptor & 0x20 == 0 {
        let window = *packed.get(5)?;
        let base = 1_u64 << (10 + (window >> 3));
        return Some(base + base / 8 * u64::from(window & 7));
    }
    // Single segment: the window is the content, whose size follows the dictionary id.
    let at = 5 + [0, 1, 2, 4][usize::from(descriptor & 3)];
    let length = [1, 2, 4, 8][usize::from(descriptor >> 6)];
    let mut size = [0_u8; 8];
    size.get_mut(..length)?.copy_from_slice(packed.get(at..at + length)?);
    // The two byte form counts from 256.
    Some(u64::from_le_bytes(size).saturating_add(if length == 2 { 256 } else { 0 }))
}

fn brotli(packed: &[u8], into: &mut impl Write) -> Result<(), CodecError> {
    // Strict: no "large window" extension, so a window has at most 16 MiB.
    let mut state =
        BrotliState::new_strict(StandardAlloc::default(), StandardAlloc::default(), StandardAlloc::default());
    let (mut available_in, mut offset_in, mut total) = (packed.len(), 0, 0);
    let mut length = 0;
    let mut chunk = vec![0_u8; 64 << 10];
    loop {
        let (mut available_out, mut offset_out) = (chunk.len(), 0);
        let result = BrotliDecompressStream(
            &mut available_in,
            &mut offset_in,
            packed,
            &mut available_out,
            &mut offset_out,
            &mut chunk,
            &mut total,
            &mut state,
        );
        length += offset_out;
        if length > MAX_DECODED {
            return Err(CodecError::TooLarge);
        }
        let piece = chunk.get(..offset_out).ok_or(CodecError::Corrupt)?;
        into.write_all(piece).map_err(|_| CodecError::Corrupt)?;
        match result {
            BrotliResult::ResultSuccess => return Ok(()),
            BrotliResult::NeedsMoreOutput => {}
            BrotliResult::NeedsMoreInput | BrotliResult::ResultFailure => return Err(CodecError::Corrupt),
        }
    }
}
