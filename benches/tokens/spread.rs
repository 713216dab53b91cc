//! How far o200k_base is off for models with other vocabularies: `spread FILE…` prints, for each
//! vocabulary and each file, the true count in hundredths of o200k_base's.

use std::fs;

use farebox::tokens::{Tokeniser, Vocabulary};

fn main() {
    let texts: Vec<String> = std::env::args()
        .skip(1)
        .map(|file| fs::read_to_string(file).expect("a readable file"))
        .collect();
    let ours = Tokeniser::of(Vocabulary::O200kBase).expect("a native build has it");
    for name in tiktoken::list_encodings() {
        let theirs = tiktoken::get_encoding(name).expect("listed");
        let percents = texts.iter().map(|text| {
            let counted = ours.count(text);
            assert!(counted.exact, "a text of at most a mebibyte");
            format!("{:.1}", theirs.count(text) as f64 * 100.0 / counted.at_least as f64)
        });
        println!("{name}\t{}", percents.collect::<Vec<_>>().join("\t"));
    }
}
