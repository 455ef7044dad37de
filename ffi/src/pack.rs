//! Reads what `src/core/record-pack.ts` packs: batches of records (magic 2), each behind a small header.
//!
//! A record: length, attributes i8, timestamp delta, offset delta, key length and key, value length and value,
//! header count, each header's key and value with their lengths; lengths and deltas are zigzag varints.

use crate::document::{Origin, RecordText};
use crate::guard::Outcome;
use std::sync::Arc;

const ENTRY_HEADER_BYTES: usize = 40;
const CUT: &str = "A packed batch is cut short or malformed.";

/// One batch of a pack.
pub struct PackedBatch<'a> {
    pub origin: Arc<Origin>,
    base_offset: f64,
    base_timestamp_ms: f64,
    log_append_timestamp_ms: f64,
    records_left: u32,
    records: Cursor<'a>,
}

/// The batches of a pack, checked as they come.
pub struct PackReader<'a> {
    bytes: &'a [u8],
}

impl<'a> PackReader<'a> {
    pub fn new(bytes: &'a [u8]) -> PackReader<'a> {
        PackReader { bytes }
    }

    pub fn next_batch(&mut self) -> Outcome<Option<PackedBatch<'a>>> {
        if self.bytes.is_empty() {
            return Ok(None);
        }
        let header = self.bytes.get(..ENTRY_HEADER_BYTES).ok_or(CUT)?;
        let length = u32_at(header, 0) as usize;
        let topic_id_end = ENTRY_HEADER_BYTES + u16_at(header, 4) as usize;
        let topic_end = topic_id_end + u16_at(header, 6) as usize;
        let entry = self.bytes.get(..length).ok_or(CUT)?;
        let batch = PackedBatch {
            origin: Arc::new(Origin {
                topic_id: shared_text(entry.get(ENTRY_HEADER_BYTES..topic_id_end))?,
                topic: shared_text(entry.get(topic_id_end..topic_end))?,
                partition: u64::from(u32_at(header, 8)),
            }),
            base_offset: f64_at(header, 16),
            base_timestamp_ms: f64_at(header, 24),
            log_append_timestamp_ms: f64_at(header, 32),
            records_left: u32_at(header, 12),
            records: Cursor { bytes: entry.get(topic_end..).ok_or(CUT)? },
        };
        self.bytes = &self.bytes[length..];
        Ok(Some(batch))
    }
}

/// A record, its parts still where they lie.
pub struct PackedRecord<'a> {
    pub offset: u64,
    pub timestamp_ms: i64,
    pub key: Option<&'a [u8]>,
    pub value: Option<&'a [u8]>,
    headers: Vec<(&'a [u8], Option<&'a [u8]>)>,
    pub size_bytes: usize,
}

impl<'a> PackedBatch<'a> {
    pub fn next_record(&mut self) -> Outcome<Option<PackedRecord<'a>>> {
        if self.records_left == 0 {
            return if self.records.bytes.is_empty() { Ok(None) } else { Err(CUT.into()) };
        }
        self.records_left -= 1;
        let length = usize::try_from(self.records.varint()?).map_err(|_| CUT)?;
        let mut record = Cursor { bytes: self.records.take(length)? };
        record.take(1)?;
        let timestamp_delta = record.varint()?;
        let offset_delta = record.varint()?;
        let key = record.nullable()?;
        let value = record.nullable()?;
        let header_count = usize::try_from(record.varint()?).map_err(|_| CUT)?;
        if header_count > record.bytes.len() {
            return Err(CUT.into());
        }
        let mut headers = Vec::with_capacity(header_count);
        for _ in 0..header_count {
            headers.push((record.nullable()?.ok_or(CUT)?, record.nullable()?));
        }
        let timestamp_ms = if self.log_append_timestamp_ms.is_nan() {
            (self.base_timestamp_ms as i64).saturating_add(timestamp_delta)
        } else {
            self.log_append_timestamp_ms as i64
        };
        let offset = (self.base_offset as i64).saturating_add(offset_delta);
        let offset = u64::try_from(offset).map_err(|_| "An offset is negative.")?;
        Ok(Some(PackedRecord { offset, timestamp_ms, key, value, headers, size_bytes: length }))
    }
}

impl PackedRecord<'_> {
    /// The parts as text. JSON is the caller's to add.
    pub fn text(&self) -> RecordText {
        RecordText {
            offset: self.offset,
            timestamp_ms: self.timestamp_ms,
            key: self.key.map(lossy),
            value: self.value.map(lossy),
            headers: self.headers.iter().map(|(name, value)| header_text(name, *value)).collect(),
            json: None,
        }
    }
}

fn header_text(name: &[u8], value: Option<&[u8]>) -> String {
    let mut text = lossy(name);
    if let Some(value) = value {
        text.push(' ');
        text.push_str(&String::from_utf8_lossy(value));
    }
    text
}

fn lossy(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn shared_text(bytes: Option<&[u8]>) -> Outcome<Arc<str>> {
    let text = std::str::from_utf8(bytes.ok_or(CUT)?).map_err(|_| "A topic is not UTF-8.")?;
    Ok(text.into())
}

struct Cursor<'a> {
    bytes: &'a [u8],
}

impl<'a> Cursor<'a> {
    fn take(&mut self, count: usize) -> Outcome<&'a [u8]> {
        let (taken, rest) = self.bytes.split_at_checked(count).ok_or(CUT)?;
        self.bytes = rest;
        Ok(taken)
    }

    fn nullable(&mut self) -> Outcome<Option<&'a [u8]>> {
        match self.varint()? {
            -1 => Ok(None),
            length => self.take(usize::try_from(length).map_err(|_| CUT)?).map(Some),
        }
    }

    fn varint(&mut self) -> Outcome<i64> {
        let mut raw = 0u64;
        for shift in (0..64).step_by(7) {
            let (byte, rest) = self.bytes.split_first().ok_or(CUT)?;
            self.bytes = rest;
            raw |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok((raw >> 1) as i64 ^ -((raw & 1) as i64));
            }
        }
        Err(CUT.into())
    }
}

fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes([bytes[at], bytes[at + 1]])
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from(u16_at(bytes, at)) | u32::from(u16_at(bytes, at + 2)) << 16
}

fn f64_at(bytes: &[u8], at: usize) -> f64 {
    f64::from_bits(u64::from(u32_at(bytes, at)) | u64::from(u32_at(bytes, at + 4)) << 32)
}
