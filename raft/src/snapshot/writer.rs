//! Writing a snapshot.

use std::{
    fs::File,
    io::{BufWriter, Write},
};

use super::{
    BLOCK_BYTES, BLOCK_HEAD, BLOCK_TAG, Counter, END_MARKER, Footer, MAX_RECORD, SnapshotDir, SnapshotError,
    SnapshotFile, SnapshotHeader, Temporary, ZSTD_LEVEL, block_crc, damaged, io_error,
};
use crate::codec::{self, Kind};

/// The file is synced whenever it has grown so much: one sync of hundreds of megabytes at the end would hold up those of the
/// log on the same disk.
const SYNC_BYTES: usize = 8 * 1024 * 1024;

/// Writes a snapshot record by record.
pub struct SnapshotWriter {
    dir: SnapshotDir,
    header: SnapshotHeader,
    file: BufWriter<File>,
    temporary: Temporary,
    compressor: zstd::bulk::Compressor<'static>,
    section: u8,
    block: Vec<u8>,
    block_records: u32,
    blocks: u64,
    /// Bytes written since the last sync.
    unsynced: usize,
    counter: Counter,
    crcs: crc32fast::Hasher,
}

impl std::fmt::Debug for SnapshotWriter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SnapshotWriter").field("temporary", &self.temporary).finish_non_exhaustive()
    }
}

impl SnapshotWriter {
    pub(super) fn begin(dir: SnapshotDir, header: SnapshotHeader) -> Result<Self, SnapshotError> {
        let temporary = Temporary(dir.temporary_path("build")?);
        let path = &temporary.0;
        let mut file = BufWriter::new(File::create_new(path).map_err(io_error("create", path))?);
        let bytes = codec::encode(Kind::SnapshotHeader, &header)
            .map_err(|source| SnapshotError::Envelope { path: path.clone(), part: "header", source })?;
        file.write_all(&bytes).map_err(io_error("write", path))?;
        let compressor = zstd::bulk::Compressor::new(ZSTD_LEVEL).map_err(io_error("prepare", path))?;
        Ok(Self {
            dir,
            header,
            file,
            temporary,
            compressor,
            section: 0,
            block: Vec::new(),
            block_records: 0,
            blocks: 0,
            unsynced: 0,
            counter: Counter::default(),
            crcs: crc32fast::Hasher::new(),
        })
    }

    /// Adds a record. All records of a section must follow one another.
    ///
    /// # Errors
    /// When the record is longer than 64 MiB or the file cannot be written.
    pub fn push(&mut self, section: u8, record: &[u8]) -> Result<(), SnapshotError> {
        let length = match u32::try_from(record.len()) {
            Ok(length) if record.len() <= MAX_RECORD => length,
            _ => return Err(SnapshotError::RecordTooLong(record.len())),
        };
        let full = self.block.len() + 4 + record.len() > BLOCK_BYTES;
        if self.block_records > 0 && (full || section != self.section) {
            self.write_block()?;
        }
        self.section = section;
        self.block.extend_from_slice(&length.to_le_bytes());
        self.block.extend_from_slice(record);
        self.block_records += 1;
        Ok(())
    }

    fn write_block(&mut self) -> Result<(), SnapshotError> {
        let path = &self.temporary.0;
        let too_long = || SnapshotError::RecordTooLong(self.block.len());
        let stored = self.compressor.compress(&self.block).map_err(io_error("compress", path))?;
        let raw_len = u32::try_from(self.block.len()).map_err(|_| too_long())?;
        let stored_len = u32::try_from(stored.len()).map_err(|_| too_long())?;
        let mut head = Vec::with_capacity(BLOCK_HEAD);
        head.extend_from_slice(&[BLOCK_TAG, self.section]);
        for field in [self.block_records, raw_len, stored_len] {
            head.extend_from_slice(&field.to_le_bytes());
        }
        let crc = block_crc(&head, &stored).to_le_bytes();
        self.crcs.update(&crc);
        for part in [head.as_slice(), &crc, &stored] {
            self.file.write_all(part).map_err(io_error("write", path))?;
        }
        self.unsynced += stored.len();
        if self.unsynced >= SYNC_BYTES {
            self.unsynced = 0;
            self.file.flush().map_err(io_error("write", path))?;
            self.file.get_ref().sync_data().map_err(io_error("sync", path))?;
        }
        self.counter.add(self.section, u64::from(self.block_records));
        self.blocks += 1;
        self.block.clear();
        self.block_records = 0;
        Ok(())
    }

    /// Completes the file, makes it durable and gives it its name.
    ///
    /// # Errors
    /// When the numbers of records differ from the header's or the file cannot be written.
    pub fn finish(mut self) -> Result<SnapshotFile, SnapshotError> {
        if self.block_records > 0 {
            self.write_block()?;
        }
        self.counter.check(&self.header.counts)?;
        let footer =
            Footer { blocks: self.blocks, records: self.counter.total(), crc_of_crcs: self.crcs.finalize() };
        let path = &self.temporary.0;
        let unreadable = |source| SnapshotError::Envelope { path: path.clone(), part: "footer", source };
        let bytes = codec::encode(Kind::SnapshotFooter, &footer).map_err(unreadable)?;
        let length = u32::try_from(bytes.len()).map_err(|_| damaged(path, "the footer is too long"))?;
        for part in [bytes.as_slice(), &length.to_le_bytes(), &END_MARKER] {
            self.file.write_all(part).map_err(io_error("write", path))?;
        }
        let file = self.file.into_inner().map_err(|error| io_error("write", path)(error.into_error()))?;
        file.sync_all().map_err(io_error("sync", path))?;
        self.dir.publish(&self.temporary, self.header)
    }
}
