//! The tree over a customer's records (RFC 6962): short proofs that a record is in it, and that a
//! later tree only added to an earlier one.
//!
//! The arithmetic is `tlog_tiles`'s. This is its face in our words: positions count from 1, as in
//! the chain, and nothing panics on what a stranger sends.

use tlog_tiles::{Error, Hash, HashReader};

use super::Digest;

/// Most records of a tree. What the edge can count to without rounding; the arithmetic below never
/// overflows under it.
pub const SIZE_MAX: u64 = 1 << 53;

/// Longest proof: one hash for each level of the largest tree.
const PROOF_MAX: usize = 54;

/// Reads back what [`grow`] gave to store.
pub trait Nodes {
    /// The hashes at `positions`, in their order; `None` where any is missing.
    fn read(&self, positions: &[u64]) -> Option<Vec<Digest>>;
}

/// A stored hash is missing, or an argument is out of range.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NoProof;

/// What a record weighs in the tree: SHA-256 of a zero byte and its canonical bytes.
pub fn leaf(canonical: &[u8]) -> Digest {
    Digest(tlog_tiles::record_hash(canonical).0)
}

/// The hashes to store when a tree of `size` records gets one more, and where.
pub fn grow(size: u64, leaf: Digest, nodes: &impl Nodes) -> Result<Vec<(u64, Digest)>, NoProof> {
    within(size)?;
    let hashes = tlog_tiles::stored_hashes_for_record_hash(size, Hash(leaf.0), &Reader(nodes))?;
    let first = tlog_tiles::stored_hash_index(0, size);
    Ok((first..).zip(hashes.into_iter().map(|hash| Digest(hash.0))).collect())
}

/// The root of the tree of the first `size` records.
pub fn root(size: u64, nodes: &impl Nodes) -> Result<Digest, NoProof> {
    within(size)?;
    Ok(Digest(tlog_tiles::tree_hash(size, &Reader(nodes))?.0))
}

/// The proof that the record at `seq` is in the tree of `size` records.
pub fn prove_record(seq: u64, size: u64, nodes: &impl Nodes) -> Result<Vec<Digest>, NoProof> {
    within(size)?;
    let at = seq.checked_sub(1).ok_or(NoProof)?;
    Ok(digests(tlog_tiles::prove_record(size, at, &Reader(nodes))?))
}

/// The proof that the tree of `size` records begins with the tree of `earlier` ones.
pub fn prove_growth(earlier: u64, size: u64, nodes: &impl Nodes) -> Result<Vec<Digest>, NoProof> {
    within(size)?;
    Ok(digests(tlog_tiles::prove_tree(size, earlier, &Reader(nodes))?))
}

/// Whether `proof` shows that the record of that `leaf` is at `seq` of the tree with that root.
pub fn has_record(proof: &[Digest], (size, root): (u64, Digest), seq: u64, leaf: Digest) -> bool {
    let Some(at) = seq.checked_sub(1).filter(|_| size <= SIZE_MAX && proof.len() <= PROOF_MAX)
    else {
        return false;
    };
    tlog_tiles::check_record(&hashes(proof), size, Hash(root.0), at, Hash(leaf.0)).is_ok()
}

/// Whether `proof` shows that the later tree begins with the earlier one. Of an empty tree there is
/// nothing to show, and no proof does.
pub fn has_grown(proof: &[Digest], later: (u64, Digest), earlier: (u64, Digest)) -> bool {
    if later.0 > SIZE_MAX || proof.len() > PROOF_MAX {
        return false;
    }
    let (root, old_root) = (Hash(later.1.0), Hash(earlier.1.0));
    tlog_tiles::check_tree(&hashes(proof), later.0, root, earlier.0, old_root).is_ok()
}

fn within(size: u64) -> Result<(), NoProof> {
    if size < SIZE_MAX { Ok(()) } else { Err(NoProof) }
}

fn digests(hashes: Vec<Hash>) -> Vec<Digest> {
    hashes.into_iter().map(|hash| Digest(hash.0)).collect()
}

fn hashes(digests: &[Digest]) -> Vec<Hash> {
    digests.iter().map(|digest| Hash(digest.0)).collect()
}

struct Reader<'a, N>(&'a N);

impl<N: Nodes> HashReader for Reader<'_, N> {
    fn read_hashes(&self, positions: &[u64]) -> Result<Vec<Hash>, Error> {
        if positions.is_empty() {
            return Ok(Vec::new());
        }
        // It must be as many as were asked for: what calls this relies on it.
        let found = self.0.read(positions).filter(|found| found.len() == positions.len());
        found.map(|found| hashes(&found)).ok_or(Error::IndexesNotInTree)
    }
}

impl From<Error> for NoProof {
    fn from(_: Error) -> Self {
        Self
    }
}

/// A tree that only grows and is only asked for its root: one hash for each full subtree, the
/// largest first. At most 53 of them, whatever its size.
///
/// ```
/// use farebox::record::tree::{Frontier, leaf};
/// let mut frontier = Frontier::default();
/// frontier.push(leaf(b"a record's canonical bytes"));
/// assert_eq!(frontier.size(), 1);
/// assert_eq!(frontier.root(), leaf(b"a record's canonical bytes"));
/// ```
#[derive(Debug, Clone, Default)]
pub struct Frontier {
    size: u64,
    subtrees: Vec<Hash>,
}

impl Frontier {
    /// Adds a record.
    pub fn push(&mut self, leaf: Digest) {
        let mut hash = Hash(leaf.0);
        // Every trailing one of the old size is a full subtree that this one completes.
        for _ in 0..self.size.trailing_ones() {
            let Some(left) = self.subtrees.pop() else { break };
            hash = tlog_tiles::node_hash(left, hash);
        }
        self.subtrees.push(hash);
        self.size = self.size.saturating_add(1);
    }

    /// How many records were added.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The root over them.
    pub fn root(&self) -> Digest {
        let mut rest = self.subtrees.iter().rev().copied();
        let last = rest.next().unwrap_or(tlog_tiles::EMPTY_HASH);
        Digest(rest.fold(last, |right, left| tlog_tiles::node_hash(left, right)).0)
    }
}
