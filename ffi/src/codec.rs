//! Checksums and block codecs that Bun does not have: CRC-32C, LZ4 frames, raw Snappy blocks.

use crate::guard::{Outcome, bytes_at, guarded_result};
use lz4_flex::frame::{BlockMode, BlockSize, FrameDecoder, FrameEncoder, FrameInfo};
use std::io::{Read, Write};

/// No Snappy element makes more output from a byte of input, so a longer announcement is a lie.
const SNAPPY_EXPANSION_MAX: usize = 64;
/// Where an LZ4 frame says which optional parts it has.
const LZ4_FLAGS_POSITION: usize = 4;

/// The CRC-32C of `length` bytes, continuing from `seed` (0 at the start).
#[unsafe(no_mangle)]
pub extern "C" fn chronik_crc32c(pointer: *const u8, start: u32, length: u32, seed: u32) -> u32 {
    if pointer.is_null() || length == 0 {
        return seed;
    }
    // SAFETY: the caller vouches for `start + length` readable bytes.
    let bytes = unsafe { std::slice::from_raw_parts(pointer.add(start as usize), length as usize) };
    crc32c::crc32c_append(seed, bytes)
}

/// One LZ4 frame of independent 64 KiB blocks, as Kafka's Java client writes them.
#[unsafe(no_mangle)]
pub extern "C" fn chronik_lz4_compress(pointer: *const u8, length: u32) -> i32 {
    // SAFETY: the caller vouches for the bytes.
    guarded_result(|| lz4_compress(unsafe { bytes_at(pointer, length) }?))
}

/// The content of one LZ4 frame; more than `limit` bytes is an error.
#[unsafe(no_mangle)]
pub extern "C" fn chronik_lz4_decompress(pointer: *const u8, length: u32, limit: u32) -> i32 {
    // SAFETY: the caller vouches for the bytes.
    guarded_result(|| lz4_decompress(unsafe { bytes_at(pointer, length) }?, limit as usize))
}

/// One raw Snappy block.
#[unsafe(no_mangle)]
pub extern "C" fn chronik_snappy_compress(pointer: *const u8, length: u32) -> i32 {
    guarded_result(|| {
        // SAFETY: the caller vouches for the bytes.
        let bytes = unsafe { bytes_at(pointer, length) }?;
        snap::raw::Encoder::new().compress_vec(bytes).map_err(|error| error.to_string())
    })
}

/// The content of one raw Snappy block; more than `limit` bytes is an error.
#[unsafe(no_mangle)]
pub extern "C" fn chronik_snappy_decompress(pointer: *const u8, length: u32, limit: u32) -> i32 {
    // SAFETY: the caller vouches for the bytes.
    guarded_result(|| snappy_decompress(unsafe { bytes_at(pointer, length) }?, limit as usize))
}

fn lz4_compress(bytes: &[u8]) -> Outcome<Vec<u8>> {
    let info = FrameInfo::new().block_size(BlockSize::Max64KB).block_mode(BlockMode::Independent);
    let mut encoder = FrameEncoder::with_frame_info(info, Vec::with_capacity(bytes.len() / 2 + 64));
    encoder.write_all(bytes).map_err(|error| error.to_string())?;
    encoder.finish().map_err(|error| error.to_string())
}

fn lz4_decompress(bytes: &[u8], limit: usize) -> Outcome<Vec<u8>> {
    let frame = lz4_frame(bytes).ok_or("The LZ4 frame is corrupt: it is cut short.")?;
    let mut content = Vec::new();
    FrameDecoder::new(frame)
        .take(limit as u64 + 1)
        .read_to_end(&mut content)
        .map_err(|error| format!("The LZ4 frame is corrupt: {error}"))?;
    within_limit(content.len(), limit)?;
    Ok(content)
}

/// The first whole frame of `bytes`, end mark included; the decoder takes a cut one for complete.
fn lz4_frame(bytes: &[u8]) -> Option<&[u8]> {
    let flags = *bytes.get(LZ4_FLAGS_POSITION)?;
    let has = |bit: u8| flags & (1 << bit) != 0;
    // Magic, flags, block descriptor, content size (bit 3), dictionary id (bit 0), header checksum.
    let mut position = 7 + if has(3) { 8 } else { 0 } + if has(0) { 4 } else { 0 };
    loop {
        let word = bytes.get(position..position + 4)?.try_into().ok()?;
        position += 4;
        match u32::from_le_bytes(word) {
            0 => break,
            block => position += (block & 0x7fff_ffff) as usize + if has(4) { 4 } else { 0 },
        }
    }
    bytes.get(..position + if has(2) { 4 } else { 0 })
}

fn snappy_decompress(bytes: &[u8], limit: usize) -> Outcome<Vec<u8>> {
    let corrupt = |error: snap::Error| format!("The Snappy block is corrupt: {error}");
    let announced = snap::raw::decompress_len(bytes).map_err(corrupt)?;
    within_limit(announced, limit)?;
    if announced > bytes.len().saturating_mul(SNAPPY_EXPANSION_MAX) {
        return Err(format!("The Snappy block is corrupt: it announces {announced} bytes."));
    }
    snap::raw::Decoder::new().decompress_vec(bytes).map_err(corrupt)
}

fn within_limit(length: usize, limit: usize) -> Outcome<()> {
    if length > limit {
        return Err(format!("The content exceeds the limit of {limit} bytes."));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lz4_frames_survive_and_obey_the_limit() {
        let content: Vec<u8> = (0..300_000u32).map(|i| (i / 7) as u8).collect();
        let frame = lz4_compress(&content).unwrap();
        assert_eq!(lz4_decompress(&frame, content.len()).unwrap(), content);
        assert!(lz4_decompress(&frame, content.len() - 1).unwrap_err().contains("limit"));
        for length in 0..frame.len() {
            assert!(lz4_decompress(&frame[..length], content.len()).is_err(), "{length}");
        }
    }

    #[test]
    fn snappy_blocks_survive_and_announcements_are_checked() {
        let content = b"chronik chronik chronik".repeat(100);
        let block = snap::raw::Encoder::new().compress_vec(&content).unwrap();
        assert_eq!(snappy_decompress(&block, content.len()).unwrap(), content);
        assert!(snappy_decompress(&block, 10).is_err());
        let lie = [0xff, 0xff, 0xff, 0x7f, 0x00];
        assert!(snappy_decompress(&lie, usize::MAX).unwrap_err().contains("announces"));
    }
}
