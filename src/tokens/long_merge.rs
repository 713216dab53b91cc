//! Byte pair merging in pieces too long to look at every pair for each merge: a heap of the pairs
//! that are tokens. An entry that no longer holds is passed over when it comes up.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::table::{NO_RANK, Table};

/// A part, kept at the offset of its first byte.
#[derive(Clone, Copy)]
struct Part {
    next: u32,
    previous: u32,
    /// Of this part joined with the next one.
    rank: u32,
}

struct Line<'a> {
    table: &'a Table,
    piece: &'a [u8],
    parts: Vec<Part>,
    /// Rank and offset of pairs; the least is the leftmost of the lowest rank.
    heap: BinaryHeap<Reverse<(u32, u32)>>,
}

/// How many tokens a piece is. Its length must fit 32 bits, which `Tokeniser` sees to.
pub fn count(table: &Table, piece: &[u8]) -> u64 {
    let mut line = Line::new(table, piece);
    let mut parts = piece.len() as u64;
    while let Some(Reverse((rank, left))) = line.heap.pop() {
        if line.part(left).rank == rank {
            line.merge(left);
            parts = parts.wrapping_sub(1);
        }
    }
    parts
}

impl<'a> Line<'a> {
    fn new(table: &'a Table, piece: &'a [u8]) -> Self {
        let pairs = piece.windows(2).map(|pair| match pair {
            [first, second] => table.pair(*first, *second),
            _ => NO_RANK,
        });
        let parts: Vec<Part> = (0_u32..)
            .zip(pairs.chain([NO_RANK]))
            .map(|(at, rank)| Part { next: at.wrapping_add(1), previous: at.wrapping_sub(1), rank })
            .collect();
        let tokens = (0_u32..).zip(&parts).filter(|(_, part)| part.rank != NO_RANK);
        let heap = tokens.map(|(at, part)| Reverse((part.rank, at))).collect();
        Self { table, piece, parts, heap }
    }

    fn part(&self, at: u32) -> Part {
        let none = Part { next: u32::MAX, previous: u32::MAX, rank: NO_RANK };
        self.parts.get(at as usize).copied().unwrap_or(none)
    }

    fn change(&mut self, at: u32, change: impl FnOnce(&mut Part)) {
        if let Some(part) = self.parts.get_mut(at as usize) {
            change(part);
        }
    }

    /// Joins a part with the next one.
    fn merge(&mut self, left: u32) {
        let Part { next: right, previous: before, .. } = self.part(left);
        let after = self.part(right).next;
        self.change(right, |part| part.rank = NO_RANK);
        self.change(after, |part| part.previous = left);
        self.change(left, |part| part.next = after);
        self.rank(left, after);
        self.rank(before, left);
    }

    /// Ranks anew the pair of a part and the next one.
    fn rank(&mut self, at: u32, next: u32) {
        let end = self.part(next).next;
        let rank = match self.piece.get(at as usize..end as usize) {
            Some(_) => self.table.rank(self.piece, at as usize, end as usize),
            None => NO_RANK, // there is no part before, or none after
        };
        self.change(at, |part| part.rank = rank);
        if rank != NO_RANK {
            self.heap.push(Reverse((rank, at)));
        }
    }
}
