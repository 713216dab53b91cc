//! The tree and its proofs: public vectors, and what every tree of ours promises.

use std::collections::BTreeMap;

use data_encoding::BASE64;
use proptest::prelude::*;
use serde_json::Value;

use super::vectors::{bytes, cases, set};
use crate::record::Digest;
use crate::record::tree::{self, Nodes};

#[derive(Default)]
struct Stored(BTreeMap<u64, Digest>);

impl Nodes for Stored {
    fn read(&self, positions: &[u64]) -> Option<Vec<Digest>> {
        positions.iter().map(|position| self.0.get(position).copied()).collect()
    }
}

fn grown(leaves: impl IntoIterator<Item = Digest>) -> (u64, Stored) {
    let mut stored = Stored::default();
    let mut size = 0;
    for leaf in leaves {
        stored.0.extend(tree::grow(size, leaf, &stored).unwrap());
        size += 1;
    }
    (size, stored)
}

fn leaves(count: u64) -> impl Iterator<Item = Digest> {
    (0..count).map(|n| tree::leaf(&n.to_be_bytes()))
}

/// The suite has hashes that are none, where they are not looked at: any digest stands for those.
fn digest(base64: &Value) -> Option<Digest> {
    let bytes =
        BASE64.decode(base64.as_str()?.as_bytes()).ok().filter(|bytes| !bytes.is_empty())?;
    Some(<[u8; 32]>::try_from(bytes.as_slice()).map_or_else(|_| Digest::of(&[&bytes]), Digest))
}

fn digests(list: &Value) -> Option<Vec<Digest>> {
    list.as_array().map_or(Some(Vec::new()), |list| list.iter().map(digest).collect())
}

#[test]
fn roots_are_those_of_rfc_6962() {
    let set = set("merkle_rfc6962");
    let leaves: Vec<Digest> = set["leaves_hex"]
        .as_array()
        .unwrap()
        .iter()
        .map(|hex| {
            tree::leaf(&data_encoding::HEXLOWER.decode(hex.as_str().unwrap().as_bytes()).unwrap())
        })
        .collect();
    for (size, root) in cases(&set, "roots_hex_by_size").iter().enumerate() {
        let (size, stored) = grown(leaves[..size].iter().copied());
        assert_eq!(tree::root(size, &stored).unwrap().to_string(), root.as_str().unwrap());
    }
    let leaf = cases(&set, "hash_cases").iter().find(|case| case["kind"] == "leaf").unwrap();
    let hash = tree::leaf(leaf["data_utf8"].as_str().unwrap().as_bytes());
    assert_eq!(hash.0.to_vec(), bytes(leaf, "hash_hex"));
}

#[test]
fn proofs_of_a_record_are_taken_and_refused_as_the_public_suite_has_it() {
    let set = set("merkle_rfc6962");
    for case in cases(&set, "inclusion") {
        let good = (|| {
            let proof = digests(&case["proof"])?;
            let tree = (case["treeSize"].as_u64()?, digest(&case["root"])?);
            let seq = case["leafIdx"].as_u64()?.checked_add(1)?;
            Some(tree::has_record(&proof, tree, seq, digest(&case["leafHash"])?))
        })();
        assert_eq!(good == Some(true), case["wantErr"] == false, "{case}");
    }
}

#[test]
fn proofs_of_growth_are_taken_and_refused_as_the_public_suite_has_it() {
    let set = set("merkle_rfc6962");
    for case in cases(&set, "consistency") {
        let good = (|| {
            let proof = digests(&case["proof"])?;
            let later = (case["size2"].as_u64()?, digest(&case["root2"])?);
            let earlier = (case["size1"].as_u64()?, digest(&case["root1"])?);
            Some(tree::has_grown(&proof, later, earlier))
        })();
        assert_eq!(good == Some(true), case["wantErr"] == false, "{case}");
    }
}

#[test]
fn a_missing_hash_is_no_proof_and_no_panic() {
    let (size, mut stored) = grown(leaves(20));
    stored.0.remove(&0);
    assert!(tree::prove_record(2, size, &stored).is_err());
    assert!(tree::prove_record(0, size, &stored).is_err());
    assert!(tree::prove_record(21, size, &stored).is_err());
    assert!(tree::prove_growth(0, size, &stored).is_err());
    assert!(tree::root(u64::MAX, &stored).is_err());
    assert!(!tree::has_record(&[], (u64::MAX, Digest::default()), u64::MAX, Digest::default()));
    assert!(!tree::has_grown(&[], (u64::MAX, Digest::default()), (u64::MAX, Digest::default())));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn each_record_and_each_earlier_tree_is_proven_and_no_other(
        size in 1_u64..300, pick in any::<prop::sample::Index>(), other in any::<prop::sample::Index>(),
    ) {
        let (_, stored) = grown(leaves(size));
        let all: Vec<Digest> = leaves(size).collect();
        let root = tree::root(size, &stored).unwrap();
        let mut frontier = tree::Frontier::default();
        all.iter().for_each(|leaf| frontier.push(*leaf));
        prop_assert_eq!((frontier.size(), frontier.root()), (size, root));
        let at = pick.index(all.len());
        let seq = u64::try_from(at).unwrap() + 1;
        let proof = tree::prove_record(seq, size, &stored).unwrap();
        prop_assert!(tree::has_record(&proof, (size, root), seq, all[at]));
        let wrong = other.index(all.len());
        if wrong != at {
            prop_assert!(!tree::has_record(&proof, (size, root), seq, all[wrong]));
            prop_assert!(!tree::has_record(&proof, (size, root), u64::try_from(wrong).unwrap() + 1, all[at]));
        }
        let before = tree::root(seq, &stored).unwrap();
        let growth = tree::prove_growth(seq, size, &stored).unwrap();
        prop_assert!(tree::has_grown(&growth, (size, root), (seq, before)));
        prop_assert!(!tree::has_grown(&growth, (size, before), (seq, before)) || seq == size);
    }
}
