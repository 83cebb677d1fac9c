//! The side journal: where paid answers wait while the catalogue cannot be written.
//!
//! One file in the home folder, of which room is kept free before anything is paid, so that a disk that fills up
//! meanwhile still takes the answer:
//!
//! ```text
//! offset 0   8 bytes   magic and format version, "TKPAID1\n"
//! then records:
//!            u32 LE    length of the payload in bytes; 0 ends the list
//!            8 bytes   the first of the payload's SHA-256
//!            payload   JSON
//! then zeros           the room that is kept
//! ```
//!
//! A record is written with the zero length that ends the list behind it, and synced, before it counts as kept. Records
//! after one that was torn by a crash or damaged are found by its length; one that does not match its checksum is left
//! out, and the file with it kept as `paid.journal.damaged` before it is emptied. All changes are made under an exclusive
//! lock on the file. Its records are removed only after the catalogue has committed them; storing one twice changes
//! nothing.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Error, ErrorKind, Read, Result, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use sha2::{Digest as _, Sha256};

const FILE_NAME: &str = "paid.journal";
/// What is kept of a journal with records that could not be read.
const DAMAGED_NAME: &str = "paid.journal.damaged";
const MAGIC: &[u8; 8] = b"TKPAID1\n";
const CHECKSUM_BYTES: usize = 8;
const RECORD_HEADER_BYTES: usize = 4 + CHECKSUM_BYTES;

/// The journal never grows beyond this; an answer takes some 20 kB.
const MAX_BYTES: usize = 16 << 20;
/// The room that is kept free, the first size that the disk takes: the least one holds an answer of 50 offers.
const ROOM_BYTES: [usize; 3] = [256 << 10, 64 << 10, 32 << 10];
/// An empty journal that has grown beyond this is cut.
const MAX_EMPTY_BYTES: u64 = 1 << 20;

/// How long another process's change of the journal is waited for.
const LOCK_WAIT: Duration = Duration::from_secs(2);
const LOCK_POLL: Duration = Duration::from_millis(5);

/// The journal of one home folder.
#[derive(Debug)]
pub(super) struct Journal {
    path: PathBuf,
    /// Whose permissions the journal takes over where others than its owner may write.
    beside: PathBuf,
}

/// The locked file and what it holds.
struct Contents {
    file: File,
    records: Records,
    len: usize,
}

/// What a journal's bytes hold.
#[derive(Default)]
struct Records {
    /// Of the sound ones, in their order.
    payloads: Vec<Vec<u8>>,
    /// Records that do not match their checksums.
    damaged: usize,
    /// Where the list ends, and the next record begins.
    end: usize,
}

impl Journal {
    /// `beside`: the catalogue's file, in the same folder.
    pub(super) fn new(beside: &Path) -> Self {
        Self { path: beside.with_file_name(FILE_NAME), beside: beside.to_path_buf() }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Whether nothing waits, by the length of the first record alone.
    pub(super) fn is_empty(&self) -> bool {
        let first_len = || {
            let mut head = [0; MAGIC.len() + 4];
            File::open(&self.path)?.read_exact(&mut head)?;
            Ok::<_, Error>(head[MAGIC.len()..] != [0; 4])
        };
        // What cannot be read cannot be stored either.
        !first_len().unwrap_or(false)
    }

    /// The records' payloads in their order, for a look; without a lock, because a home that cannot be written gives none.
    pub(super) fn payloads(&self) -> Vec<Vec<u8>> {
        if self.is_empty() {
            return Vec::new();
        }
        look(&self.path).unwrap_or_default().payloads
    }

    /// How many records wait, and how many there are that cannot be read, here or in what was kept of a damaged journal.
    ///
    /// # Errors
    /// Where it is no journal of this version, or cannot be read.
    pub(super) fn counts(&self) -> Result<(usize, usize)> {
        let kept = look(&self.path.with_file_name(DAMAGED_NAME)).map_or(0, |kept| kept.damaged);
        match look(&self.path) {
            Ok(Records { payloads, damaged, .. }) => Ok((payloads.len(), damaged + kept)),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok((0, kept)),
            Err(error) => Err(error),
        }
    }

    /// Sees to it that an answer has room here.
    pub(super) fn keep_room(&self) -> Result<()> {
        let least = ROOM_BYTES[ROOM_BYTES.len() - 1];
        if self.is_empty() && std::fs::metadata(&self.path).is_ok_and(|meta| meta.len() > least as u64) {
            // Room is not all: it must be ours to write.
            OpenOptions::new().write(true).open(&self.path)?;
            return Ok(());
        }
        let mut contents = self.lock()?;
        let mut result = Ok(());
        for room in ROOM_BYTES {
            let wanted = contents.records.end + 4 + room;
            if wanted > MAX_BYTES {
                return Err(full());
            }
            result = contents.extend_to(wanted);
            if result.is_ok() {
                break;
            }
        }
        result
    }

    /// Writes a record down for good.
    pub(super) fn append(&self, payload: &[u8]) -> Result<()> {
        let mut contents = self.lock()?;
        let mut record = Vec::with_capacity(RECORD_HEADER_BYTES + payload.len() + 4);
        record.extend(u32::try_from(payload.len()).map_err(|_| full())?.to_le_bytes());
        record.extend(checksum(payload));
        record.extend(payload);
        record.extend([0; 4]);
        if contents.records.end + record.len() > MAX_BYTES {
            return Err(full());
        }
        let start = contents.records.end as u64;
        let written = write_at(&mut contents.file, start, &record).and_then(|()| contents.file.sync_data());
        if written.is_err() {
            // A torn record would be left out anyway.
            let _ = write_at(&mut contents.file, start, &[0; 4]);
        }
        written
    }

    /// Has `store` store all records, and removes them when it has.
    pub(super) fn drain<E: From<Error>>(
        &self,
        store: impl FnOnce(&[Vec<u8>]) -> std::result::Result<(), E>,
    ) -> std::result::Result<(), E> {
        let mut contents = self.lock()?;
        let Records { payloads, damaged, .. } = &contents.records;
        if payloads.is_empty() && *damaged == 0 {
            return Ok(());
        }
        if !payloads.is_empty() {
            store(payloads)?;
        }
        if *damaged > 0 {
            let kept = self.path.with_file_name(DAMAGED_NAME);
            let is_kept = std::fs::copy(&self.path, &kept).is_ok();
            tracing::warn!(
                damaged,
                is_kept,
                "{} held answers that were paid for and cannot be read any more; what is left of them is in {}",
                self.path.display(),
                kept.display()
            );
        }
        // If this fails they are stored once more, which changes nothing.
        let _ = contents.clear();
        Ok(())
    }

    /// Opens the journal, making it when it is not there, and locks it against all others.
    fn lock(&self) -> Result<Contents> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let is_new = !self.path.exists();
        let mut file = options.open(&self.path)?;
        if is_new {
            self.share(&file);
        }
        let start = Instant::now();
        loop {
            match file.try_lock() {
                Ok(()) => break,
                Err(TryLockError::WouldBlock) if start.elapsed() < LOCK_WAIT => {
                    std::thread::sleep(LOCK_POLL);
                }
                Err(TryLockError::WouldBlock) => {
                    return Err(Error::new(ErrorKind::WouldBlock, "another process keeps it locked"));
                }
                Err(TryLockError::Error(error)) => return Err(error),
            }
        }
        let mut bytes = read_all(&mut file)?;
        if bytes.len() < MAGIC.len() {
            // New, or torn while it was made.
            write_at(&mut file, 0, MAGIC)?;
            self.sync_folder()?;
            bytes = MAGIC.to_vec();
        }
        let records = parse(&bytes)?;
        Ok(Contents { file, records, len: bytes.len() })
    }

    /// Has the file's name survive a power cut.
    fn sync_folder(&self) -> Result<()> {
        #[cfg(unix)]
        File::open(crate::paths::folder_of(&self.path))?.sync_all()?;
        Ok(())
    }

    /// A home that several users write to has a journal for all of them, as SQLite's own files.
    fn share(&self, file: &File) {
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            let mode = std::fs::metadata(&self.beside).map_or(0, |meta| meta.permissions().mode());
            if mode & 0o022 != 0 {
                // Where it fails, others are told that they cannot write here.
                let _ = file.set_permissions(std::fs::Permissions::from_mode(mode & 0o666));
            }
        }
        #[cfg(not(unix))]
        let _ = (file, &self.beside);
    }
}

impl Contents {
    /// Zeros up to `len` bytes, on disk.
    fn extend_to(&mut self, len: usize) -> Result<()> {
        if self.len < len {
            write_at(&mut self.file, self.len as u64, &vec![0; len - self.len])?;
            self.file.sync_data()?;
            self.len = len;
        }
        Ok(())
    }

    fn clear(&mut self) -> Result<()> {
        let start = MAGIC.len();
        write_at(&mut self.file, start as u64, &vec![0; (self.records.end + 4).min(self.len) - start])?;
        if self.len as u64 > MAX_EMPTY_BYTES {
            self.file.set_len(MAX_EMPTY_BYTES)?;
        }
        self.file.sync_data()
    }
}

fn look(path: &Path) -> Result<Records> {
    parse(&read_all(&mut File::open(path)?)?)
}

fn write_at(file: &mut File, offset: u64, bytes: &[u8]) -> Result<()> {
    file.seek(SeekFrom::Start(offset))?;
    file.write_all(bytes)
}

fn read_all(file: &mut File) -> Result<Vec<u8>> {
    file.seek(SeekFrom::Start(0))?;
    let mut bytes = Vec::new();
    file.take(MAX_BYTES as u64).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn checksum(payload: &[u8]) -> [u8; CHECKSUM_BYTES] {
    let digest: [u8; 32] = Sha256::digest(payload).into();
    let mut first = [0; CHECKSUM_BYTES];
    first.copy_from_slice(&digest[..CHECKSUM_BYTES]);
    first
}

/// A length that leads out of the file ends the list, too.
fn parse(bytes: &[u8]) -> Result<Records> {
    if bytes.len() >= MAGIC.len() && !bytes.starts_with(MAGIC) {
        return Err(Error::new(
            ErrorKind::InvalidData,
            "it was written by another version of tongkuan, or is none of its journals; run that version, or move the \
             file away",
        ));
    }
    let mut records = Records { end: MAGIC.len(), ..Records::default() };
    while let Some((len, rest)) = bytes.get(records.end..).and_then(|rest| rest.split_first_chunk::<4>()) {
        let len = u32::from_le_bytes(*len) as usize;
        let Some((sum, payload)) = rest.split_first_chunk::<CHECKSUM_BYTES>() else { break };
        let Some(payload) = payload.get(..len).filter(|payload| !payload.is_empty()) else { break };
        if *sum == checksum(payload) {
            records.payloads.push(payload.to_vec());
        } else {
            records.damaged += 1;
        }
        records.end += RECORD_HEADER_BYTES + len;
    }
    Ok(records)
}

fn full() -> Error {
    Error::new(ErrorKind::StorageFull, "too many answers wait here")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]
    use super::*;

    fn journal(folder: &Path) -> Journal {
        Journal::new(&folder.join("catalog.sqlite"))
    }

    fn drained(journal: &Journal) -> Vec<Vec<u8>> {
        let mut all = Vec::new();
        journal
            .drain(|payloads| {
                all = payloads.to_vec();
                Ok::<_, Error>(())
            })
            .unwrap();
        all
    }

    #[test]
    fn records_wait_in_their_order_until_they_are_stored() {
        let folder = tempfile::tempdir().unwrap();
        let journal = journal(folder.path());
        assert!(journal.is_empty());
        journal.keep_room().unwrap();
        journal.append(b"one").unwrap();
        journal.append(b"two").unwrap();
        assert_eq!(journal.payloads(), [b"one", b"two"]);
        assert!(journal.drain(|_| Err(Error::other("locked"))).is_err());
        assert_eq!(drained(&journal), [b"one", b"two"], "what was not stored waits on");
        assert!(journal.is_empty());
        journal.append(b"3").unwrap();
        assert_eq!(journal.payloads(), [b"3"], "no remnant of a longer list comes up");
    }

    #[test]
    fn a_torn_tail_costs_the_torn_record_alone() {
        let folder = tempfile::tempdir().unwrap();
        let journal = journal(folder.path());
        journal.append(b"whole").unwrap();
        journal.append(b"torn by a crash").unwrap();
        let whole = std::fs::read(journal.path()).unwrap();
        let first_ends = MAGIC.len() + RECORD_HEADER_BYTES + b"whole".len();
        for cut in first_ends..whole.len() - 4 {
            std::fs::write(journal.path(), &whole[..cut]).unwrap();
            assert_eq!(journal.payloads(), [b"whole"], "cut at {cut}");
            journal.append(b"next").unwrap();
            assert_eq!(journal.payloads(), [&b"whole"[..], b"next"], "cut at {cut}");
        }
    }

    #[test]
    fn a_flipped_bit_costs_the_record_that_it_is_in() {
        let folder = tempfile::tempdir().unwrap();
        let journal = journal(folder.path());
        journal.append(b"one").unwrap();
        journal.append(b"two").unwrap();
        let mut bytes = std::fs::read(journal.path()).unwrap();
        bytes[MAGIC.len() + RECORD_HEADER_BYTES] ^= 1;
        std::fs::write(journal.path(), bytes).unwrap();
        assert_eq!(journal.counts().unwrap(), (1, 1));
        let damaged = std::fs::read(journal.path()).unwrap();
        assert_eq!(drained(&journal), [b"two"]);
        assert_eq!(journal.counts().unwrap(), (0, 1));
        assert_eq!(
            std::fs::read(folder.path().join(DAMAGED_NAME)).unwrap(),
            damaged,
            "what was paid for is not thrown away"
        );
    }

    #[test]
    fn a_journal_of_nothing_but_damage_does_not_stay_in_the_way() {
        let folder = tempfile::tempdir().unwrap();
        let journal = journal(folder.path());
        assert_eq!(journal.counts().unwrap(), (0, 0), "none is there yet");
        journal.append(b"one").unwrap();
        let mut bytes = std::fs::read(journal.path()).unwrap();
        bytes[MAGIC.len() + RECORD_HEADER_BYTES] ^= 1;
        std::fs::write(journal.path(), bytes).unwrap();
        assert!(!journal.is_empty());
        assert!(drained(&journal).is_empty() && journal.is_empty());
    }

    #[test]
    fn a_journal_of_another_version_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let journal = journal(folder.path());
        std::fs::write(journal.path(), b"TKPAID2\nwhat a later version keeps").unwrap();
        assert!(journal.keep_room().is_err() && journal.append(b"one").is_err() && journal.counts().is_err());
        assert_eq!(std::fs::read(journal.path()).unwrap(), b"TKPAID2\nwhat a later version keeps");
    }

    #[test]
    fn the_journal_is_bounded() {
        let folder = tempfile::tempdir().unwrap();
        let journal = journal(folder.path());
        let big = vec![7; MAX_BYTES / 2];
        journal.append(&big).unwrap();
        assert_eq!(journal.append(&big).unwrap_err().kind(), ErrorKind::StorageFull);
        drained(&journal);
        assert!(std::fs::metadata(journal.path()).unwrap().len() <= MAX_EMPTY_BYTES);
    }

    #[cfg(unix)]
    #[test]
    fn only_its_owner_reads_the_journal_unless_the_catalogue_is_shared() {
        use std::os::unix::fs::PermissionsExt;
        for (catalog, expected) in [(0o600, 0o600), (0o644, 0o600), (0o660, 0o660)] {
            let folder = tempfile::tempdir().unwrap();
            let journal = journal(folder.path());
            std::fs::write(&journal.beside, b"").unwrap();
            std::fs::set_permissions(&journal.beside, std::fs::Permissions::from_mode(catalog)).unwrap();
            journal.keep_room().unwrap();
            let mode = std::fs::metadata(journal.path()).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, expected);
        }
    }
}
