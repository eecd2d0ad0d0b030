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

/// Room is taken for so many times what is packed: nodes as Argo wrote them (tests/fixtures) unpack to 10 to 15 times.
/// What is longer moves once, to where there is room for the most.
const USUAL: usize = 32;

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
/// See [`CodecError`]. Memory stays below [`MAX_DECODED`] plus one window of the codec plus what a longer text than usual
/// moves out of (32 times what is packed, at most as much again), whatever the input.
pub fn decode(text: &str) -> Result<String, CodecError> {
    let packed = STANDARD.decode(text.trim_ascii()).map_err(|_| CodecError::NotBase64)?;
    let usual = packed.len().saturating_mul(USUAL).min(MAX_DECODED) + 1;
    let mut plain = Plain(Vec::with_capacity(usual));
    unpack(&packed, &mut plain)?;
    String::from_utf8(plain.0).map_err(|_| CodecError::Corrupt)
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

fn unpack(packed: &[u8], into: &mut impl Sink) -> Result<(), CodecError> {
    match Codec::sniff(packed) {
        Codec::Gzip => drain(flate2::read::MultiGzDecoder::new(packed), into),
        Codec::Zstd => zstd(packed, into),
        Codec::Brotli => brotli(packed, into),
    }
}

/// Where it goes.
trait Sink: Write {
    /// Takes all there is.
    fn all(&mut self, from: &mut impl Read) -> std::io::Result<()>;
}

/// The text. Grown by doubling it would be held twice again and again, and what that leaves behind depends on who came
/// before; room that nobody writes to costs nothing.
struct Plain(Vec<u8>);

impl Plain {
    const fn room(&self) -> usize {
        self.0.capacity() - self.0.len()
    }

    /// Moves to where there is room for the most.
    fn grow(&mut self) {
        self.0.reserve_exact((MAX_DECODED + 1).saturating_sub(self.0.len()));
    }
}

impl Sink for Plain {
    /// Straight into its place: inflating in small pieces is slower.
    fn all(&mut self, from: &mut impl Read) -> std::io::Result<()> {
        let room = self.room();
        if from.take(room as u64).read_to_end(&mut self.0)? == room {
            self.grow();
            from.read_to_end(&mut self.0)?;
        }
        Ok(())
    }
}

impl Write for Plain {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        if bytes.len() > self.room() {
            self.grow();
        }
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Counts what is written to it.
struct Length(usize);

impl Sink for Length {
    fn all(&mut self, from: &mut impl Read) -> std::io::Result<()> {
        std::io::copy(from, self).map(drop)
    }
}

impl Write for Length {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0 += bytes.len();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

fn drain(from: impl Read, into: &mut impl Sink) -> Result<(), CodecError> {
    let mut from = from.take(MAX_DECODED as u64 + 1);
    into.all(&mut from).map_err(|_| CodecError::Corrupt)?;
    if from.limit() == 0 { Err(CodecError::TooLarge) } else { Ok(()) }
}

fn zstd(packed: &[u8], into: &mut impl Sink) -> Result<(), CodecError> {
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

fn brotli(packed: &[u8], into: &mut impl Sink) -> Result<(), CodecError> {
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
