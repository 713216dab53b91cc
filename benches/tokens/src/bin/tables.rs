//! Makes the tokeniser's tables, `src/tokens/data/`: the vocabularies from the rank files that the
//! crate `tiktoken-rs` carries, the character classes from `regex-syntax`, whose Unicode data the
//! reference implementation uses too. `make token-tables` runs it; what it writes is committed.

use std::fs;
use std::path::{Path, PathBuf};

use regex_syntax::hir::{Class, HirKind};
use tiktoken_rs::CoreBPE;

#[allow(dead_code)]
#[path = "../../../../src/tokens/hash.rs"]
mod hash;

/// Tokens a bucket holds on average.
const BUCKET_LOAD: usize = 2;

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
    let (mut groups, mut starts) = (vec![0; 3 * 16], Vec::new());
    let (mut low, mut high, mut bytes) = (Vec::new(), Vec::new(), Vec::new());
    for (rank, token) in tokens.iter().enumerate() {
        if let [first, second] = token[..] {
            let at = 3 * (usize::from(first) << 8 | usize::from(second));
            pairs[at..at + 3].copy_from_slice(&(rank as u32).to_le_bytes()[..3]);
        }
    }
    let mut ordinal = 0_usize;
    for length in 3..=longest {
        let members: Vec<u32> =
            (0..count).filter(|&rank| tokens[rank as usize].len() == length).collect();
        let buckets = members.len().div_ceil(BUCKET_LOAD);
        for number in [bytes.len(), ordinal, starts.len() / 2, buckets] {
            groups.extend_from_slice(&(number as u32).to_le_bytes());
        }
        let mut filled = vec![Vec::new(); buckets];
        for rank in members {
            let hash = hash::hash(&tokens[rank as usize]);
            filled[hash::bucket(hash, buckets as u32) as usize].push(rank);
        }
        let mut placed = 0_u16;
        for bucket in filled {
            starts.extend_from_slice(&placed.to_le_bytes());
            for rank in bucket {
                bytes.extend_from_slice(&tokens[rank as usize]);
                low.extend_from_slice(&(rank as u16).to_le_bytes());
                if ordinal % 4 == 0 {
                    high.push(0);
                }
                *high.last_mut().expect("just pushed") |=
                    ((rank >> 16) as u8) << (2 * (ordinal % 4));
                placed = placed.checked_add(1).expect("a group fits sixteen bits");
                ordinal += 1;
            }
        }
        starts.extend_from_slice(&placed.to_le_bytes());
    }
    fs::create_dir_all(folder).expect("folder");
    for (name, table) in [
        ("pairs", &pairs),
        ("groups", &groups),
        ("starts", &starts),
        ("ranks_low", &low),
        ("ranks_high", &high),
        ("tokens", &bytes),
    ] {
        fs::write(folder.join(name).with_extension("bin"), table).expect("write");
    }
    println!("{}: {} tokens, longest {longest}", folder.display(), tokens.len());
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
