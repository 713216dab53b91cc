//! `native ENGINE FILE CALLS`: one engine in a process of its own counts a file's tokens so many
//! times. Prints one JSON object: the first call on a short text (with all that it sets up), each
//! call on the file, the count, and the process's memory.

use std::fs;
use std::time::Instant;

use farebox::tokens::{Tokeniser, Vocabulary};
use serde_json::json;

/// Gives the time to first use to each engine alike.
const SHORT: &str = "How many tokens are these?";

fn main() {
    let mut args = std::env::args().skip(1);
    let engine = args.next().expect("an engine");
    let text = fs::read_to_string(args.next().expect("a file")).expect("a readable file");
    let calls: usize = args.next().expect("calls").parse().expect("a number");
    let began = Instant::now();
    let count: Box<dyn Fn(&str) -> u64> = match engine.as_str() {
        "farebox" => {
            let tokeniser = Tokeniser::of(Vocabulary::O200kBase).expect("a native build has it");
            Box::new(move |text| tokeniser.count(text).at_least)
        }
        "tiktoken-rs" => {
            let bpe = tiktoken_rs::o200k_base().expect("embedded");
            Box::new(move |text| bpe.encode_ordinary(text).len() as u64)
        }
        "tiktoken" => {
            let bpe = tiktoken::get_encoding("o200k_base").expect("built in");
            Box::new(|text| bpe.count(text) as u64)
        }
        other => panic!("no engine {other}"),
    };
    count(SHORT);
    let first = milliseconds(began);
    let mut tokens = 0;
    let times: Vec<f64> = (0..calls)
        .map(|_| {
            let began = Instant::now();
            tokens = count(&text);
            milliseconds(began)
        })
        .collect();
    println!("{}", json!({ "first": first, "times": times, "tokens": tokens, "memory": memory() }));
}

fn milliseconds(since: Instant) -> f64 {
    since.elapsed().as_secs_f64() * 1e3
}

/// The most memory this process has had, in bytes; zero where the system does not tell.
fn memory() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|line| line.trim().trim_end_matches(" kB").trim().parse().ok())
        .map_or(0, |kib: u64| kib * 1024)
}
