//! Reads the bytes of an archive: trailer, table of contents and gzip members. The layout is described in
//! `src/segment/archive-format.ts` and `archive-toc.ts`, which write it.

use crate::guard::Outcome;
use miniz_oxide::inflate::decompress_slice_iter_to_slice;

pub const TRAILER_BYTES: usize = 64;

const VERSION: u16 = 1;
const TRAILER_START: [u8; 16] = [0x1f, 0x8b, 8, 4, 0, 0, 0, 0, 0, 0xff, 42, 0, 0x43, 0x4b, 38, 0];
const TRAILER_END: [u8; 14] = [0, 0, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0, 0, 0];
const TRAILER_MAGIC: &[u8] = b"CHRONTAR";
const TRAILER_CRC_POSITION: usize = 46;

const TOC_MAGIC: &[u8] = b"CHRONTOC";
const TOC_HEADER_BYTES: usize = 24;
const FILE_ROW_BYTES: usize = 128;
const CHUNK_ROW_BYTES: usize = 16;
const NAME_BYTES: usize = 100;
const FILE_BYTES_MAX: u64 = 1 << 40;
const CHUNK_BYTES_MAX: u32 = 1 << 20;

const MEMBER_HEADER: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff];
const MEMBER_FOOTER_BYTES: usize = 8;
const BLOCK_HEADER_BYTES: usize = 5;
const STORED_BLOCK_BYTES: usize = 32_768;

/// Where the table of contents is.
#[derive(Debug, PartialEq)]
pub struct Trailer {
    pub toc_position: u64,
    pub toc_member_bytes: u32,
    pub toc_bytes: u32,
    pub toc_crc: u32,
}

/// A file in an archive.
#[derive(Debug, PartialEq)]
pub struct ArchivedFile {
    pub size_bytes: u64,
    /// Content of each chunk but the last.
    pub chunk_bytes: u32,
    pub chunks: Vec<Chunk>,
}

/// A gzip member with a part of a file.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Chunk {
    pub position: u64,
    pub member_bytes: u32,
    pub crc: u32,
}

impl Chunk {
    pub fn end(&self) -> u64 {
        self.position + u64::from(self.member_bytes)
    }
}

impl Trailer {
    /// `bytes` are the last [`TRAILER_BYTES`] of an archive of `length_bytes`.
    pub fn decode(bytes: &[u8], length_bytes: u64) -> Outcome<Trailer> {
        if bytes.len() != TRAILER_BYTES || &bytes[16..24] != TRAILER_MAGIC {
            return Err("there is no trailer".into());
        }
        if u32_at(bytes, TRAILER_CRC_POSITION) != crc32c::crc32c(&bytes[..TRAILER_CRC_POSITION]) {
            return Err("the trailer's checksum does not fit".into());
        }
        expect_version(bytes, 24)?;
        if bytes[..16] != TRAILER_START || bytes[50..] != TRAILER_END {
            return Err("the trailer is damaged".into());
        }
        let trailer = Trailer {
            toc_position: u64_at(bytes, 26),
            toc_member_bytes: u32_at(bytes, 34),
            toc_bytes: u32_at(bytes, 38),
            toc_crc: u32_at(bytes, 42),
        };
        let end = trailer.toc_position.checked_add(u64::from(trailer.toc_member_bytes));
        // Nothing is allocated that the archive has no room for.
        let is_plausible = trailer.toc_bytes <= trailer.toc_member_bytes;
        match end {
            Some(end) if is_plausible && end + TRAILER_BYTES as u64 <= length_bytes => Ok(trailer),
            _ => Err("the trailer is damaged".into()),
        }
    }
}

/// The files whose names start with `prefix`, in the order in which they were written.
pub fn decode_toc(bytes: &[u8], prefix: &str, length_bytes: u64) -> Outcome<Vec<(String, ArchivedFile)>> {
    const DAMAGED: &str = "the table of contents is damaged";
    if bytes.len() < TOC_HEADER_BYTES || &bytes[..8] != TOC_MAGIC {
        return Err(DAMAGED.into());
    }
    expect_version(bytes, 8)?;
    let file_count = u32_at(bytes, 12) as usize;
    let chunk_count = u32_at(bytes, 16) as usize;
    let chunks_position = TOC_HEADER_BYTES + file_count * FILE_ROW_BYTES;
    if bytes.len() != chunks_position + chunk_count * CHUNK_ROW_BYTES {
        return Err(DAMAGED.into());
    }
    let (files, chunks) = bytes[TOC_HEADER_BYTES..].split_at(file_count * FILE_ROW_BYTES);
    let mut found = Vec::new();
    let mut first_chunk = 0;
    for row in files.chunks_exact(FILE_ROW_BYTES) {
        let name_end = row[..NAME_BYTES].iter().position(|byte| *byte == 0).unwrap_or(NAME_BYTES);
        let name = std::str::from_utf8(&row[..name_end]).map_err(|_| DAMAGED)?;
        let size_bytes = u64_at(row, 100);
        let count = u32_at(row, 112) as usize;
        let chunk_bytes = u32_at(row, 116);
        let is_sound = size_bytes <= FILE_BYTES_MAX
            && (1..=CHUNK_BYTES_MAX).contains(&chunk_bytes)
            && size_bytes.div_ceil(u64::from(chunk_bytes)) == count as u64
            && u32_at(row, 108) as usize == first_chunk
            && first_chunk + count <= chunk_count;
        if !is_sound {
            return Err(DAMAGED.into());
        }
        if name.starts_with(prefix) {
            let rows = &chunks[first_chunk * CHUNK_ROW_BYTES..(first_chunk + count) * CHUNK_ROW_BYTES];
            let file = ArchivedFile { size_bytes, chunk_bytes, chunks: chunks_of(rows) };
            if !lie_in_a_row(&file.chunks, length_bytes) {
                return Err(DAMAGED.into());
            }
            found.push((name.to_owned(), file));
        }
        first_chunk += count;
    }
    if first_chunk == chunk_count { Ok(found) } else { Err(DAMAGED.into()) }
}

fn chunks_of(rows: &[u8]) -> Vec<Chunk> {
    rows.chunks_exact(CHUNK_ROW_BYTES)
        .map(|row| Chunk { position: u64_at(row, 0), member_bytes: u32_at(row, 8), crc: u32_at(row, 12) })
        .collect()
}

/// Adjacent, and inside the archive.
fn lie_in_a_row(chunks: &[Chunk], length_bytes: u64) -> bool {
    let is_inside = |chunk: &Chunk| {
        chunk.position <= length_bytes && u64::from(chunk.member_bytes) <= length_bytes - chunk.position
    };
    chunks.iter().all(is_inside) && chunks.windows(2).all(|pair| pair[0].end() == pair[1].position)
}

/// Unpacks a member, whose checksum the caller has compared, into `content`, which it fills.
pub fn unpack_member(member: &[u8], content: &mut [u8]) -> Outcome<()> {
    const DAMAGED: &str = "a chunk is no gzip member";
    let frame_bytes = MEMBER_HEADER.len() + MEMBER_FOOTER_BYTES;
    if member.len() < frame_bytes || member[..MEMBER_HEADER.len()] != MEMBER_HEADER {
        return Err(DAMAGED.into());
    }
    let blocks = &member[MEMBER_HEADER.len()..member.len() - MEMBER_FOOTER_BYTES];
    let block_count = content.len().div_ceil(STORED_BLOCK_BYTES).max(1);
    let is_stored = blocks.len() == block_count * BLOCK_HEADER_BYTES + content.len();
    if !is_stored {
        return match decompress_slice_iter_to_slice(content, std::iter::once(blocks), false, true) {
            Ok(count) if count == content.len() => Ok(()),
            _ => Err(DAMAGED.into()),
        };
    }
    let mut rest = blocks;
    for part in content.chunks_mut(STORED_BLOCK_BYTES) {
        let (header, block) = rest.split_at(BLOCK_HEADER_BYTES);
        if usize::from(u16::from_le_bytes([header[1], header[2]])) != part.len() || header[0] > 1 {
            return Err(DAMAGED.into());
        }
        let (stored, behind) = block.split_at(part.len());
        part.copy_from_slice(stored);
        rest = behind;
    }
    Ok(())
}

fn expect_version(bytes: &[u8], position: usize) -> Outcome<()> {
    match u16::from_be_bytes([bytes[position], bytes[position + 1]]) {
        VERSION => Ok(()),
        version => Err(format!("its format {version} is of another version of this program")),
    }
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_be_bytes(bytes[at..at + 4].try_into().expect("four bytes"))
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_be_bytes(bytes[at..at + 8].try_into().expect("eight bytes"))
}

#[cfg(test)]
pub mod tests {
    use super::*;
    use miniz_oxide::deflate::compress_to_vec;

    pub fn stored_member(content: &[u8]) -> Vec<u8> {
        let mut member = MEMBER_HEADER.to_vec();
        let count = content.len().div_ceil(STORED_BLOCK_BYTES).max(1);
        for number in 1..=count {
            let start = (number - 1) * STORED_BLOCK_BYTES;
            let block = &content[start..content.len().min(start + STORED_BLOCK_BYTES)];
            let length = block.len() as u16;
            member.push(u8::from(number == count));
            member.extend(length.to_le_bytes());
            member.extend((!length).to_le_bytes());
            member.extend(block);
        }
        member.extend([0; MEMBER_FOOTER_BYTES]);
        member
    }

    pub fn deflated_member(content: &[u8]) -> Vec<u8> {
        [&MEMBER_HEADER[..], &compress_to_vec(content, 6), &[0; MEMBER_FOOTER_BYTES]].concat()
    }

    #[test]
    fn members_of_both_forms_are_unpacked() {
        for length in [0, 1, 100, STORED_BLOCK_BYTES, STORED_BLOCK_BYTES + 1, 3 * STORED_BLOCK_BYTES] {
            let content: Vec<u8> = (0..length).map(|i| (i / 7 % 251) as u8).collect();
            for member in [stored_member(&content), deflated_member(&content)] {
                let mut unpacked = vec![1; length];
                unpack_member(&member, &mut unpacked).unwrap();
                assert_eq!(unpacked, content);
            }
        }
    }

    #[test]
    fn members_that_are_damaged_are_errors() {
        let content = vec![7; 1000];
        for member in [stored_member(&content), deflated_member(&content)] {
            for end in 0..member.len() {
                assert!(unpack_member(&member[..end], &mut [0; 1000]).is_err(), "cut at {end}");
            }
            assert!(unpack_member(&member, &mut [0; 999]).is_err());
            assert!(unpack_member(&member, &mut [0; 1001]).is_err());
        }
    }
}
