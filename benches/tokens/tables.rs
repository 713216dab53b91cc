//! Makes the tokeniser's tables, `src/tokens/data/`: the vocabularies from the rank files that the
//! crate `tiktoken-rs` carries, the character classes from `regex-syntax`, whose Unicode data the
//! reference implementation uses too. `make token-tables` runs it; what it writes is committed.

use std::fs;
use std::path::{Path, PathBuf};

use regex_syntax::hir::{Class, HirKind};
use tiktoken_rs::CoreBPE;

#[allow(dead_code)]
#[path = "../../src/tokens/hash.rs"]
mod hash;

fn main() {
    let data = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../src/tokens/data"));
    vocabulary(&data.join("o200k_base"), &tiktoken_rs::o200k_base().expect("embedded"), 199_998);
    vocabulary(&data.join("cl100k_base"), &tiktoken_rs::cl100k_base().expect("embedded"), 100_256);
    classes(&data.join("classes"));
}

/// Writes the tables that `src/tokens/table.rs` describes.
fn vocabulary(folder: &Path, bpe: &CoreBPE, count: u32) {
    let tokens: Vec<Vec<u8>> =
        (0..count).map(|rank| bpe.decode_bytes(&[rank]).expect("ranks have no gaps")).collect();
    let longest = tokens.iter().map(Vec::len).max().unwrap_or(0);
    let mut pairs = vec![0xFF; 3 * 65_536];
    for (rank, token) in tokens.iter().enumerate() {
        if let [first, second] = token[..] {
            let at = 3 * (usize::from(first) << 8 | usize::from(second));
            pairs[at..at + 3].copy_from_slice(&(rank as u32).to_le_bytes()[..3]);
        }
    }
    let (mut groups, mut pilots, mut bytes) = (vec![0; 3 * 20], Vec::new(), Vec::new());
    let mut ranks = Vec::new();
    for length in 3..=longest {
        let members: Vec<u32> =
            (0..count).filter(|&rank| tokens[rank as usize].len() == length).collect();
        let group = Group::of(&members, &tokens);
        for number in
            [bytes.len(), ranks.len(), group.slots.len(), pilots.len(), group.pilots.len()]
        {
            groups.extend_from_slice(&(number as u32).to_le_bytes());
        }
        for slot in &group.slots {
            match slot {
                Some(rank) => bytes.extend_from_slice(&tokens[*rank as usize]),
                None => bytes.extend(std::iter::repeat_n(0xFF, length)),
            }
        }
        ranks.extend(group.slots.iter().map(|slot| slot.unwrap_or(0)));
        pilots.extend(group.pilots);
    }
    bytes.extend([0; 16]);
    let low: Vec<u8> = ranks.iter().flat_map(|&rank| (rank as u16).to_le_bytes()).collect();
    let two_bits = |four: &[u32]| {
        four.iter().rev().fold(0, |byte, &rank| byte << 2 | (rank >> 16) as u8)
    };
    let high: Vec<u8> = ranks.chunks(4).map(two_bits).collect();
    fs::create_dir_all(folder).expect("folder");
    for (name, table) in [
        ("pairs", &pairs),
        ("groups", &groups),
        ("pilots", &pilots),
        ("tokens", &bytes),
        ("ranks_low", &low),
        ("ranks_high", &high),
    ] {
        fs::write(folder.join(name).with_extension("bin"), table).expect("write");
    }
    println!("{}: {} tokens, longest {longest}", folder.display(), tokens.len());
}

/// The tokens of one length as a perfect hash table.
struct Group {
    /// The rank of the token in each.
    slots: Vec<Option<u32>>,
    pilots: Vec<u8>,
}

impl Group {
    /// As tight as can be found: more room and more pilots until every token has its own slot.
    fn of(members: &[u32], tokens: &[Vec<u8>]) -> Self {
        let hashes: Vec<(u64, u32)> = members
            .iter()
            .map(|&rank| {
                let token = &tokens[rank as usize];
                let rest = token.get(16..).unwrap_or_default();
                (hash::hash(hash::words(token, 0, token.len()), rest), rank)
            })
            .collect();
        (0..)
            .find_map(|more| {
                let slots = members.len() + members.len() * (2 + more) / 100;
                let pilots = (members.len() / 4) + members.len() * more / 100 + 1;
                Self::within(&hashes, slots.max(1), pilots)
            })
            .expect("endless room")
    }

    /// The pilots with the most tokens are searched for first, while there is room.
    fn within(hashes: &[(u64, u32)], slots: usize, pilots: usize) -> Option<Self> {
        let mut steered = vec![Vec::new(); pilots];
        for &(hash, rank) in hashes {
            steered[hash::pilot(hash, pilots as u32)].push((hash, rank));
        }
        let mut order: Vec<usize> = (0..pilots).collect();
        order.sort_by_key(|&pilot| std::cmp::Reverse(steered[pilot].len()));
        let mut group = Self { slots: vec![None; slots], pilots: vec![0; pilots] };
        for at in order {
            let found = (0..=u8::MAX).find(|&pilot| {
                let mut places: Vec<usize> = steered[at]
                    .iter()
                    .map(|&(hash, _)| hash::slot(hash, pilot, slots as u32))
                    .collect();
                places.sort_unstable();
                places.windows(2).all(|two| two[0] != two[1])
                    && places.iter().all(|&place| group.slots[place].is_none())
            })?;
            group.pilots[at] = found;
            for &(hash, rank) in &steered[at] {
                group.slots[hash::slot(hash, found, slots as u32)] = Some(rank);
            }
        }
        Some(group)
    }
}

/// Writes the two-level table that `src/tokens/class.rs` describes.
fn classes(folder: &Path) {
    const BLOCK: usize = 128;
    let mut class = vec![0_u8; 0x11_0000];
    // Later ones win, so the narrower ones stand last.
    for (pattern, number) in [
        (r"\s", 2),
        (r"[\r\n]", 1),
        (r"\p{N}", 3),
        (r"[\p{Lu}\p{Lt}]", 4),
        (r"\p{Ll}", 5),
        (r"[\p{Lm}\p{Lo}]", 6),
        (r"\p{M}", 7),
    ] {
        let parsed = regex_syntax::parse(pattern).expect("a pattern");
        let HirKind::Class(Class::Unicode(ranges)) = parsed.kind() else { panic!("{pattern}") };
        for range in ranges.ranges() {
            for code in range.start() as usize..=range.end() as usize {
                assert!(matches!((class[code], number), (0, _) | (2, 1)), "two classes: {code:x}");
                class[code] = number;
            }
        }
    }
    let (mut index, mut blocks) = (Vec::new(), Vec::<&[u8]>::new());
    for block in class.chunks(BLOCK) {
        let at = blocks.iter().position(|known| *known == block).unwrap_or_else(|| {
            blocks.push(block);
            blocks.len() - 1
        });
        index.push(u8::try_from(at).expect("at most 256 different blocks"));
    }
    fs::create_dir_all(folder).expect("folder");
    fs::write(folder.join("index.bin"), &index).expect("write");
    fs::write(folder.join("blocks.bin"), blocks.concat()).expect("write");
    println!("{}: {} blocks", folder.display(), blocks.len());
}
