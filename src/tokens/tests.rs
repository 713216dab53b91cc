//! What holds of every count. That counts are the reference's own is shown on many more texts by
//! `tests/tokens/`, which compares with it; the numbers here were taken from it.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use proptest::prelude::*;

use super::memo::Memo;
use super::table::{NO_RANK, Table};
use super::*;

fn tokeniser(vocabulary: Vocabulary) -> Tokeniser {
    Tokeniser::of(vocabulary).unwrap()
}

fn exact(vocabulary: Vocabulary, text: &str) -> u64 {
    let count = tokeniser(vocabulary).count(text);
    assert!(count.exact);
    count.at_least
}

#[test]
fn counts_are_the_references() {
    for (text, o200k, cl100k) in [
        ("", 0, 0),
        ("Hello, world!", 4, 4),
        ("It's 12345 o'clock", 6, 7),
        ("'ſ'S he'LL'l", 7, 8),
        ("fooBAR's XMLHttp", 4, 5),
        ("中文AB中", 3, 4),
        ("e\u{301}a \u{301}'d", 6, 7),
        ("a\n  ", 3, 3),
        (" \n\n  \n x", 3, 3),
        ("  \t1", 3, 3),
        ("!/\n/\r\n/x", 5, 4),
        ("ǅǆ ʰA", 8, 8),
        ("\u{a0}\u{2028}x", 3, 4),
        ("🚍👩‍👩‍👧", 10, 16),
        ("<|endoftext|>", 7, 7),
        (&"x".repeat(100), 13, 13),
        (&(" ".repeat(300) + "x"), 4, 4),
    ] {
        assert_eq!(exact(Vocabulary::O200kBase, text), o200k, "{text:?}");
        assert_eq!(exact(Vocabulary::Cl100kBase, text), cl100k, "{text:?}");
    }
}

#[test]
fn words_and_numbers_are_a_token_each_at_least() {
    for (text, least) in [("a b c", 3), ("don't", 1), ("x1y2", 4), ("…", 0), ("naïve café", 2)]
    {
        assert_eq!(at_least(text), least, "{text}");
    }
}

/// Merging as it is defined: look at every pair, join the leftmost of the lowest rank, again.
fn merged_by_definition(table: &Table, piece: &[u8]) -> u64 {
    let mut starts: Vec<usize> = (0..=piece.len()).collect();
    if table.has(piece, 0, piece.len()) {
        return 1;
    }
    loop {
        let ranks = starts.windows(3).map(|three| table.rank(piece, three[0], three[2]));
        match ranks.enumerate().min_by_key(|&(at, rank)| (rank, at)) {
            Some((at, rank)) if rank != NO_RANK => starts.remove(at + 1),
            _ => return starts.len() as u64 - 1,
        };
    }
}

#[test]
fn a_mebibyte_without_a_boundary_is_counted() {
    for text in ["a", " ", "\n", "!", "漢", "\u{301}"] {
        let text = text.repeat(TEXT_MAX / text.len());
        let count = exact(Vocabulary::O200kBase, &text);
        assert!(count >= text.len() as u64 / 128 && count <= text.len() as u64);
    }
}

#[test]
fn a_text_that_is_too_long_gets_bounds_that_hold() {
    let word = " word";
    let text = word.repeat(TEXT_MAX / word.len() + 1000);
    let count = tokeniser(Vocabulary::O200kBase).count(&text);
    let truth = (text.len() / word.len()) as u64;
    assert!(!count.exact && count.at_least <= truth && count.at_least > truth - 1000);
    assert_eq!(count.at_most(text.len() as u64), text.len() as u64);
}

#[test]
fn a_limit_is_found_to_be_passed_without_merging_what_passes_it() {
    let tokeniser = tokeniser(Vocabulary::O200kBase);
    let text = "one two three four";
    assert_eq!(tokeniser.count_till(text, 4), Count { at_least: 4, exact: true });
    assert_eq!(tokeniser.count_till(text, 3), Count { at_least: 4, exact: false });
    let count = tokeniser.count_till(&"a".repeat(TEXT_MAX), 100);
    assert_eq!(count, Count { at_least: 101, exact: false });
}

#[test]
fn a_piece_too_long_to_keep_is_bounded_and_the_words_after_it_counted() {
    let long = "a".repeat(3 * CARRY_MAX);
    let mut counter = Counter::new(tokeniser(Vocabulary::O200kBase));
    let mut before = 0;
    for part in long.as_bytes().chunks(1000) {
        counter.push(core::str::from_utf8(part).unwrap());
        assert!(counter.so_far() >= before, "the count fell");
        before = counter.so_far();
    }
    assert_eq!(before, long.len() as u64 / 128);
    assert!(!counter.exact());
    counter.push(&" word".repeat(2000));
    let count = counter.end();
    assert_eq!(count, Count { at_least: long.len() as u64 / 128 + 2000, exact: false });
    let truth = exact(Vocabulary::O200kBase, &(long + &" word".repeat(2000)));
    assert!(count.at_least <= truth);
}

/// Characters that the rules tell apart, and those that vocabularies have tokens for.
fn text() -> impl Strategy<Value = String> {
    let rules = "[ \t\r\n/'aAſsStTlLrReEvV1٣中ʰǅ\u{301}.!\u{a0}🚍]{0,40}";
    prop_oneof![rules, "\\PC{0,200}", "[a-z ]{0,300}", "(\\PC{1,4}){0,80}", "[ab]{90,400}"]
}

fn vocabulary() -> impl Strategy<Value = Vocabulary> {
    prop::sample::select(Vocabulary::ALL.to_vec())
}

proptest! {
    #[test]
    fn scanning_and_the_heap_merge_as_defined(text in text(), vocabulary in vocabulary()) {
        let table = data::table(vocabulary).unwrap();
        let bytes = text.as_bytes();
        prop_assume!(!bytes.is_empty());
        let want = merged_by_definition(table, bytes);
        prop_assert_eq!(merge::count(table, &mut Memo::new(), bytes, 0..bytes.len()), want);
        // What stands around a piece changes nothing, wherever in a text it is.
        let (within, mut memo) = ([b"ab".as_slice(), bytes, &[b'c'; 32]].concat(), Memo::new());
        for _ in 0..2 {
            prop_assert_eq!(merge::count(table, &mut memo, &within, 2..bytes.len() + 2), want);
        }
        if want > 1 {
            prop_assert_eq!(long_merge::count(table, bytes), want);
        }
    }

    #[test]
    fn pieces_are_the_text(text in text(), vocabulary in vocabulary()) {
        let mut at = 0;
        for piece in split::Pieces::of(&text, vocabulary.rules()) {
            prop_assert!(piece.start == at && piece.end > at && text.is_char_boundary(piece.end));
            at = piece.end;
        }
        prop_assert_eq!(at, text.len());
    }

    #[test]
    fn the_bounds_hold(text in text(), vocabulary in vocabulary()) {
        let count = exact(vocabulary, &text);
        prop_assert!(at_least(&text) <= count, "{} > {count}", at_least(&text));
        prop_assert!(count <= text.len() as u64 * TOKENS_PER_BYTE_MAX);
    }

    #[test]
    fn in_parts_is_as_whole_and_never_falls(
        texts in prop::collection::vec(text(), 0..12),
        cuts in prop::collection::vec(1_usize..90, 1..20),
        vocabulary in vocabulary(),
    ) {
        let whole = texts.concat();
        let mut counter = Counter::new(tokeniser(vocabulary));
        let (mut left, mut before) = (whole.as_str(), 0);
        for cut in cuts.iter().cycle() {
            let (part, rest) = left.split_at(left.ceil_char_boundary(*cut));
            counter.push(part);
            prop_assert!(counter.so_far() >= before);
            before = counter.so_far();
            left = rest;
            if left.is_empty() {
                break;
            }
        }
        let truth = exact(vocabulary, &whole);
        prop_assert!(before <= truth);
        prop_assert_eq!(counter.end(), Count { at_least: truth, exact: true });
    }

    #[test]
    fn a_limit_changes_nothing_below_it(text in text(), limit in 0_u64..60) {
        let tokeniser = tokeniser(Vocabulary::O200kBase);
        let (whole, till) = (tokeniser.count(&text), tokeniser.count_till(&text, limit));
        if whole.at_least <= limit {
            prop_assert_eq!(till, whole);
        } else {
            prop_assert!(!till.exact && limit < till.at_least && till.at_least <= whole.at_least);
        }
    }
}
