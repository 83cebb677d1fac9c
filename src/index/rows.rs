//! Rows of bytes, all of one length: written once, one after the other, and from then on only read. Those that a
//! snapshot holds stay in its file: [`Mapped`] where every search wants them (codes), [`ReadAt`] where few are wanted
//! (vectors), so that none of those is memory of this process.
//!
//! All `unsafe` of the index that concerns memory is in this file. Why it is sound:
//! - A [`Filling`] block hands out, for reading, only rows before `filled`, and writes only the row at `filled`, which
//!   only the holder of `writing` does. So no byte is written while it may be read.
//!   The number is raised after the row is written (release) and looked at before it is read (acquire).
//! - A [`Mapped`] maps a file of a snapshot. Those are never written again after they have got their name; who
//!   replaces a snapshot removes the name only, and the file lives on for as long as it is mapped. Another program that
//!   writes into it or cuts it off breaks this; no program that maps a file can rule that out.
//!
//! Nothing of a file is used before its sum is right: each [`LEAF_ROWS`] rows have one, looked at when the first of them
//! is read. What is wrong, or cannot be read, is noted, and the index believes nothing that was found meanwhile.

#![allow(unsafe_code)]

use std::fs::File;
use std::io;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use memmap2::{Mmap, MmapMut, MmapRaw};

use super::checksum::checksum;

/// So many rows share a block.
pub(super) const BLOCK_ROWS: usize = 1024;
/// So many rows of a file share a sum. Divides [`BLOCK_ROWS`].
pub(super) const LEAF_ROWS: usize = 64;

/// Says for all parts of an index that something of it was not as it was written.
pub(super) type Damage = Arc<AtomicBool>;

/// A block in memory, to which rows are added.
struct Filling {
    /// Memory of its own, which goes back to the system as a whole when the rows are in a file.
    memory: MmapRaw,
    row_bytes: usize,
    filled: AtomicUsize,
    writing: Mutex<()>,
}

impl Filling {
    /// Room for [`BLOCK_ROWS`] rows of `row_bytes >= 1` bytes.
    fn new(row_bytes: usize) -> io::Result<Self> {
        let memory = MmapMut::map_anon(BLOCK_ROWS * row_bytes)?.into();
        Ok(Self { memory, row_bytes, filled: AtomicUsize::new(0), writing: Mutex::default() })
    }

    /// Has the next row written, if there is one left. It is all zeros before.
    fn push(&self, write: impl FnOnce(&mut [u8])) {
        let _writing = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let row = self.filled.load(Ordering::Relaxed);
        if row == BLOCK_ROWS {
            return;
        }
        // SAFETY: `row` is below `BLOCK_ROWS`, so its bytes lie within the memory. They are initialised (the system
        // gives zeros), no reader reads them because `filled` is not above `row`, and no other writer is here.
        let bytes = unsafe {
            std::slice::from_raw_parts_mut(self.memory.as_mut_ptr().add(row * self.row_bytes), self.row_bytes)
        };
        write(bytes);
        self.filled.store(row + 1, Ordering::Release);
    }

    /// All rows that are there.
    #[inline]
    fn rows(&self) -> &[u8] {
        let filled = self.filled.load(Ordering::Acquire);
        // SAFETY: the first `filled` rows lie within the memory, are initialised and never written again.
        unsafe { std::slice::from_raw_parts(self.memory.as_ptr(), filled * self.row_bytes) }
    }
}

const UNSEEN: u8 = 0;
const SEEN: u8 = 1;

/// The sums of the rows of a file, and which of them were looked at.
pub(super) struct PageChecksums {
    rows: usize,
    row_bytes: usize,
    sums: Box<[u64]>,
    seen: Box<[AtomicU8]>,
    damage: Damage,
}

impl PageChecksums {
    /// One sum for each [`LEAF_ROWS`] rows; nothing when `file` does not have that many `rows`, at least one.
    fn of(
        file: &File,
        row_bytes: usize,
        rows: usize,
        sums: Box<[u64]>,
        damage: Damage,
    ) -> io::Result<Option<Self>> {
        let fits = file.metadata()?.len() == (rows * row_bytes) as u64;
        if !fits || rows == 0 || sums.len() != rows.div_ceil(LEAF_ROWS) {
            return Ok(None);
        }
        let seen = (0..sums.len()).map(|_| AtomicU8::new(UNSEEN)).collect();
        Ok(Some(Self { rows, row_bytes, sums, seen, damage }))
    }

    /// Has the checksums of `rows` looked at that were not yet: `look` gets the number and the bytes of each.
    fn verify(&self, rows: Range<usize>, check: impl Fn(usize, Range<usize>)) {
        for leaf in rows.start / LEAF_ROWS..rows.end.div_ceil(LEAF_ROWS) {
            if self.seen[leaf].load(Ordering::Acquire) == UNSEEN {
                check(leaf, self.bytes_of(leaf));
            }
        }
    }

    /// Where a leaf stands in the file.
    fn bytes_of(&self, leaf: usize) -> Range<usize> {
        self.bytes(leaf * LEAF_ROWS..self.rows.min((leaf + 1) * LEAF_ROWS))
    }

    /// Notes what the sum of a leaf shows.
    fn note_sum(&self, leaf: usize, bytes: &[u8]) {
        if checksum(bytes, leaf as u64) != self.sums[leaf] {
            self.damage.store(true, Ordering::Release);
        }
        // Release: a reader that skips the sum also sees what it showed.
        self.seen[leaf].store(SEEN, Ordering::Release);
    }

    /// Where rows stand in the file.
    fn bytes(&self, rows: Range<usize>) -> Range<usize> {
        rows.start * self.row_bytes..rows.end * self.row_bytes
    }
}

/// Rows in a file of a snapshot.
pub(super) trait RowFile: Sized {
    /// `file`, whose length is that of all checksums; nothing when it is not any more.
    ///
    /// # Errors
    /// When the system cannot map it.
    fn with(file: File, checksums: PageChecksums) -> io::Result<Option<Self>>;

    fn checksums(&self) -> &PageChecksums;

    /// `file` with one sum for each [`LEAF_ROWS`] rows; nothing when it does not have that many rows, which are at
    /// least one.
    ///
    /// # Errors
    /// When the system cannot map it, or tell its length.
    fn open(
        file: File,
        row_bytes: usize,
        rows: usize,
        sums: Box<[u64]>,
        damage: Damage,
    ) -> io::Result<Option<Self>> {
        match PageChecksums::of(&file, row_bytes, rows, sums, damage)? {
            Some(checksums) => Self::with(file, checksums),
            None => Ok(None),
        }
    }

    /// How many rows there are.
    fn len(&self) -> usize {
        self.checksums().rows
    }

    /// Rows one after the other, once their sums were looked at. `buffer` is for those that are in no memory.
    fn rows<'a>(&'a self, rows: Range<usize>, buffer: &'a mut Vec<u8>) -> &'a [u8];
}

/// A file in the address space: read at the price of a look, and the system counts as ours what was read.
pub(super) struct Mapped {
    map: Mmap,
    checksums: PageChecksums,
}

impl Mapped {
    /// A row, once its sum was looked at.
    #[inline]
    fn row(&self, row: usize) -> &[u8] {
        let leaf = row / LEAF_ROWS;
        if self.checksums.seen[leaf].load(Ordering::Acquire) == UNSEEN {
            self.verify_block(leaf, self.checksums.bytes_of(leaf));
        }
        &self.map[row * self.checksums.row_bytes..][..self.checksums.row_bytes]
    }

    /// Rows one after the other, once their sums were looked at.
    fn slice(&self, rows: Range<usize>) -> &[u8] {
        self.checksums.verify(rows.clone(), |leaf, bytes| self.verify_block(leaf, bytes));
        &self.map[self.checksums.bytes(rows)]
    }

    #[cold]
    fn verify_block(&self, leaf: usize, bytes: Range<usize>) {
        self.checksums.note_sum(leaf, &self.map[bytes]);
    }
}

impl RowFile for Mapped {
    fn with(file: File, checksums: PageChecksums) -> io::Result<Option<Self>> {
        // SAFETY: see the top of this file.
        let map = unsafe { Mmap::map(&file)? };
        Ok((map.len() == checksums.rows * checksums.row_bytes).then_some(Self { map, checksums }))
    }

    fn checksums(&self) -> &PageChecksums {
        &self.checksums
    }

    fn rows<'a>(&'a self, rows: Range<usize>, _buffer: &'a mut Vec<u8>) -> &'a [u8] {
        self.slice(rows)
    }
}

/// A file of which rows are read when they are wanted. The system keeps them in memory of its own, or does not.
pub(super) struct ReadAt {
    file: File,
    checksums: PageChecksums,
}

impl ReadAt {
    /// Fills `buffer` with bytes of the file; zeros, and a note, when they cannot be read.
    fn read(&self, bytes: Range<usize>, buffer: &mut Vec<u8>) {
        buffer.resize(bytes.len(), 0);
        if read_exact_at(&self.file, buffer, bytes.start as u64).is_err() {
            buffer.fill(0);
            self.checksums.damage.store(true, Ordering::Release);
        }
    }

    #[cold]
    fn verify_block(&self, leaf: usize, bytes: Range<usize>) {
        let mut buffer = Vec::new();
        self.read(bytes, &mut buffer);
        self.checksums.note_sum(leaf, &buffer);
    }
}

impl RowFile for ReadAt {
    fn with(file: File, checksums: PageChecksums) -> io::Result<Option<Self>> {
        Ok(Some(Self { file, checksums }))
    }

    fn checksums(&self) -> &PageChecksums {
        &self.checksums
    }

    fn rows<'a>(&'a self, rows: Range<usize>, buffer: &'a mut Vec<u8>) -> &'a [u8] {
        self.checksums.verify(rows.clone(), |leaf, bytes| self.verify_block(leaf, bytes));
        self.read(self.checksums.bytes(rows), buffer);
        buffer
    }
}

#[cfg(unix)]
fn read_exact_at(file: &File, bytes: &mut [u8], offset: u64) -> io::Result<()> {
    std::os::unix::fs::FileExt::read_exact_at(file, bytes, offset)
}

#[cfg(windows)]
fn read_exact_at(file: &File, mut bytes: &mut [u8], mut offset: u64) -> io::Result<()> {
    while !bytes.is_empty() {
        match std::os::windows::fs::FileExt::seek_read(file, bytes, offset) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(read) => {
                bytes = &mut bytes[read..];
                offset += read as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Maps a file that is read as a whole, at once and only once.
///
/// # Errors
/// When the system cannot map it.
pub(super) fn map_whole(file: &File) -> io::Result<Mmap> {
    // SAFETY: see the top of this file.
    unsafe { Mmap::map(file) }
}

/// The sums of rows that stand one after the other, as [`RowFile::open`] wants them. `first_row` starts a leaf.
pub(super) fn leaf_sums(rows: &[u8], row_bytes: usize, first_row: usize) -> impl Iterator<Item = u64> {
    let places = (first_row / LEAF_ROWS) as u64..;
    places.zip(rows.chunks(LEAF_ROWS * row_bytes)).map(|(place, leaf)| checksum(leaf, place))
}

enum Block<F> {
    Filling(Arc<Filling>),
    Filed { file: Arc<F>, first_row: usize },
}

impl<F> Clone for Block<F> {
    fn clone(&self) -> Self {
        match self {
            Self::Filling(block) => Self::Filling(Arc::clone(block)),
            Self::Filed { file, first_row } => Self::Filed { file: Arc::clone(file), first_row: *first_row },
        }
    }
}

/// Rows 0, 1, 2, …, to which one writer at a time adds.
pub(super) struct RowStore<F> {
    row_bytes: usize,
    blocks: RwLock<Arc<Vec<Block<F>>>>,
}

impl<F: RowFile> RowStore<F> {
    /// No rows yet, of `row_bytes >= 1` bytes each.
    pub(super) fn new(row_bytes: usize) -> Self {
        Self { row_bytes, blocks: RwLock::new(Arc::new(Vec::new())) }
    }

    /// Makes room for a row more.
    ///
    /// # Errors
    /// When the system has no memory left.
    pub(super) fn make_room(&self) -> io::Result<()> {
        if let Some(Block::Filling(last)) = self.handle().last()
            && last.filled.load(Ordering::Relaxed) < BLOCK_ROWS
        {
            return Ok(());
        }
        let block = Block::Filling(Arc::new(Filling::new(self.row_bytes)?));
        // Copy-on-write once per 1024 rows; readers keep the old block list.
        Arc::make_mut(&mut self.blocks.write().unwrap_or_else(PoisonError::into_inner)).push(block);
        Ok(())
    }

    /// Adds a row, which is all zeros before it is written. One at a time.
    ///
    /// # Errors
    /// When the system has no memory left.
    pub(super) fn push(&self, write: impl FnOnce(&mut [u8])) -> io::Result<()> {
        self.make_room()?;
        if let Some(Block::Filling(last)) = self.handle().last() {
            last.push(write);
        }
        Ok(())
    }

    /// Takes all rows of `file` in, while there are none: whole blocks from there, the others into memory.
    ///
    /// # Errors
    /// When the system has no memory left.
    pub(super) fn read(&self, file: &Arc<F>) -> io::Result<()> {
        self.adopt(file);
        let whole = file.len() / BLOCK_ROWS * BLOCK_ROWS;
        file.rows(whole..file.len(), &mut Vec::new())
            .chunks_exact(self.row_bytes)
            .try_for_each(|stored| self.push(|row| row.copy_from_slice(stored)))
    }

    /// Has whole blocks that `file` holds read from there. Its rows are the first of ours, and the same.
    pub(super) fn adopt(&self, file: &Arc<F>) {
        let mut blocks = self.blocks.write().unwrap_or_else(PoisonError::into_inner);
        let blocks = Arc::make_mut(&mut blocks);
        for number in 0..file.len() / BLOCK_ROWS {
            let block = Block::Filed { file: Arc::clone(file), first_row: number * BLOCK_ROWS };
            match blocks.get_mut(number) {
                Some(place) => *place = block,
                None => blocks.push(block),
            }
        }
    }

    fn handle(&self) -> Arc<Vec<Block<F>>> {
        Arc::clone(&self.blocks.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// What is there now, and what is added to the last block.
    pub(super) fn view(&self) -> RowView<F> {
        RowView { row_bytes: self.row_bytes, blocks: self.handle() }
    }
}

/// A handle on rows. A clone costs nothing.
pub(super) struct RowView<F> {
    row_bytes: usize,
    blocks: Arc<Vec<Block<F>>>,
}

impl<F> Clone for RowView<F> {
    fn clone(&self) -> Self {
        Self { row_bytes: self.row_bytes, blocks: Arc::clone(&self.blocks) }
    }
}

impl<F: RowFile> RowView<F> {
    pub(super) fn row_bytes(&self) -> usize {
        self.row_bytes
    }

    /// A row, which may be read into `buffer`.
    pub(super) fn read<'a>(&'a self, row: u32, buffer: &'a mut Vec<u8>) -> &'a [u8] {
        let (block, row) = (row as usize / BLOCK_ROWS, row as usize % BLOCK_ROWS);
        self.read_rows(block, row..row + 1, buffer)
    }

    /// Some rows of a block, one after the other, which may be read into `buffer`.
    pub(super) fn read_rows<'a>(
        &'a self,
        block: usize,
        rows: Range<usize>,
        buffer: &'a mut Vec<u8>,
    ) -> &'a [u8] {
        match &self.blocks[block] {
            Block::Filling(block) => &block.rows()[rows.start * self.row_bytes..rows.end * self.row_bytes],
            Block::Filed { file, first_row } => {
                file.rows(first_row + rows.start..first_row + rows.end, buffer)
            }
        }
    }
}

impl RowView<Mapped> {
    #[inline]
    pub(super) fn row(&self, row: u32) -> &[u8] {
        let (block, row) = (row as usize / BLOCK_ROWS, row as usize % BLOCK_ROWS);
        match &self.blocks[block] {
            Block::Filling(block) => &block.rows()[row * self.row_bytes..][..self.row_bytes],
            Block::Filed { file, first_row } => file.row(first_row + row),
        }
    }

    /// Some rows of a block, one after the other.
    pub(super) fn rows_of(&self, block: usize, rows: Range<usize>) -> &[u8] {
        match &self.blocks[block] {
            Block::Filling(block) => &block.rows()[rows.start * self.row_bytes..rows.end * self.row_bytes],
            Block::Filed { file, first_row } => file.slice(first_row + rows.start..first_row + rows.end),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::io::Write;
    use std::sync::Arc;
    use std::sync::atomic::Ordering;

    use super::{BLOCK_ROWS, Damage, Mapped, ReadAt, RowFile, RowStore, leaf_sums};

    fn number(row: &[u8]) -> u32 {
        u32::from_le_bytes(row.try_into().unwrap())
    }

    #[test]
    fn rows_are_read_while_others_are_added() {
        let store = RowStore::<Mapped>::new(4);
        let rows = 3 * u32::try_from(BLOCK_ROWS).unwrap();
        store.push(|row| row.copy_from_slice(&0u32.to_le_bytes())).unwrap();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                for i in 1..rows {
                    store.push(|row| row.copy_from_slice(&i.to_le_bytes())).unwrap();
                }
            });
            while store.view().blocks.len() < 3 {
                assert_eq!(number(store.view().row(0)), 0);
            }
        });
        assert!((0..rows).all(|i| number(store.view().row(i)) == i));
    }

    /// 1094 rows of four bytes in a file, of which row 1000 is damaged.
    fn damaged() -> (File, Box<[u64]>, u32) {
        let count = u32::try_from(BLOCK_ROWS).unwrap() + 70;
        let mut bytes: Vec<u8> = (0..count).flat_map(u32::to_le_bytes).collect();
        let sums = leaf_sums(&bytes, 4, 0).collect();
        bytes[4 * 1000] ^= 1;
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&bytes).unwrap();
        (file, sums, count)
    }

    fn opened<F: RowFile>(file: &File, rows: u32, sums: &[u64], damage: &Damage) -> Option<F> {
        let file = file.try_clone().unwrap();
        F::open(file, 4, rows as usize, sums.into(), Arc::clone(damage)).unwrap()
    }

    fn damage_is_noted_when_it_is_read<F: RowFile>() {
        let (file, sums, count) = damaged();
        let damage = Damage::default();
        assert!(opened::<F>(&file, count - 1, &sums, &damage).is_none(), "of another length");
        assert!(opened::<F>(&file, count, &sums[1..], &damage).is_none(), "with a sum too few");
        let store = RowStore::new(4);
        for i in 0..count {
            store.push(|row| row.copy_from_slice(&i.to_le_bytes())).unwrap();
        }
        store.adopt(&Arc::new(opened::<F>(&file, count, &sums, &damage).unwrap()));
        let (view, mut buffer) = (store.view(), Vec::new());
        assert!((0..900).chain(1024..count).all(|i| number(view.read(i, &mut buffer)) == i));
        assert!(!damage.load(Ordering::Acquire), "not read yet");
        view.read(999, &mut buffer);
        assert!(damage.load(Ordering::Acquire));
    }

    #[test]
    fn rows_of_a_file_are_those_that_were_added_and_damage_is_noted_when_it_is_read() {
        damage_is_noted_when_it_is_read::<Mapped>();
        damage_is_noted_when_it_is_read::<ReadAt>();
    }

    #[test]
    fn a_file_that_was_cut_off_since_is_damage() {
        let (file, sums, count) = damaged();
        let damage = Damage::default();
        let rows = opened::<ReadAt>(&file, count, &sums, &damage).unwrap();
        let mut buffer = Vec::new();
        assert_eq!(number(rows.rows(63..64, &mut buffer)), 63);
        file.set_len(4 * 63).unwrap();
        assert!(!damage.load(Ordering::Acquire));
        assert_eq!(number(rows.rows(63..64, &mut buffer)), 0, "nothing of what was read before");
        assert!(damage.load(Ordering::Acquire));
    }
}
