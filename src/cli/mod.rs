//! The `farebox` command: the operator's and the auditor's tool.
//!
//! Data goes to standard output, talk to standard error. Exit codes: 0 done, 1 failed, 64 wrong
//! usage; `verify` has its own.

#![allow(rustdoc::bare_urls, rustdoc::invalid_html_tags)] // many comments here are help texts
#![allow(clippy::arithmetic_side_effects)] // deadlines of a command, not amounts

mod archive;
mod book;
mod by_plan;
mod catalogue;
mod credits;
mod dev;
mod file;
mod key;
mod lines;
mod meter;
mod plan;
mod price;
mod progress;
mod quote;
mod rate;
mod remote;
mod replay;
mod secrets;
mod session;
mod tokens;
mod verify;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Exit code for wrong usage: `EX_USAGE`. Not clap's 2, which says INVALID in `verify`.
const USAGE: u8 = 64;

/// Meters, limits and proves spend on AI APIs.
#[derive(Parser)]
#[command(name = "farebox", version, propagate_version = true)]
struct Cli {
    #[command(subcommand)]
    verb: Verb,
    /// Answer in JSON, for programs.
    #[arg(long, global = true)]
    json: bool,
}

#[derive(Subcommand)]
enum Verb {
    /// Run a gate on this machine with a demo upstream, a demo customer and its dashboard.
    Dev(dev::Args),
    /// Read what recorded AI answers used: JSON Lines in, JSON Lines out.
    Meter(meter::Args),
    /// Price usages by a price book: JSON Lines in, JSON Lines out.
    Price(lines::Args),
    /// Check, compare and make price books.
    #[command(subcommand)]
    Book(book::Verb),
    /// Bound what requests, documents and months cost, before they are sent.
    Quote(quote::Args),
    /// Price recorded usage by another book or plan, with every difference line by line.
    Replay(replay::Args),
    /// Price quantities by single charge models: JSON Lines in, JSON Lines out.
    Rate(lines::Args),
    /// Check plans, print their schema, and price a period's usage by them.
    #[command(subcommand)]
    Plan(plan::Verb),
    /// Replay logs of prepaid and promotional credit.
    #[command(subcommand)]
    Credits(credits::Verb),
    /// Count the tokens of texts: JSON Lines in, JSON Lines out.
    Tokens(lines::Args),
    /// Check archived usage records: signatures, chain, amounts, and that none is missing.
    Verify(verify::Args),
    /// Make and end API keys.
    #[command(subcommand)]
    Key(key::Verb),
    /// Make dashboard sessions.
    #[command(subcommand)]
    Session(session::Verb),
    /// Create customers and set their limits.
    #[command(subcommand)]
    Customer(key::CustomerVerb),
    /// Print a fresh secret, in the form the settings take.
    Secret(secrets::Args),
}

/// A failure, in words a person can act on.
type Failure = String;

/// Runs the command line of this process.
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            let code = if error.use_stderr() { USAGE } else { 0 };
            let _ = error.print();
            return ExitCode::from(code);
        }
    };
    let json = cli.json;
    let done = match cli.verb {
        Verb::Dev(args) => dev::run(&args),
        Verb::Meter(args) => meter::run(&args),
        Verb::Price(args) => price::run(&args),
        Verb::Quote(args) => quote::run(&args, json),
        Verb::Replay(args) => replay::run(&args, json),
        Verb::Book(verb) => book::run(&verb, json),
        Verb::Rate(args) => rate::run(&args),
        Verb::Plan(verb) => plan::run(&verb, json),
        Verb::Credits(verb) => credits::run(&verb),
        Verb::Tokens(args) => tokens::run(&args),
        Verb::Verify(args) => return verify::run(&args, json),
        Verb::Key(verb) => key::run(&verb, json),
        Verb::Session(verb) => session::run(&verb, json),
        Verb::Customer(verb) => key::run_customer(&verb, json),
        Verb::Secret(args) => secrets::run(&args, json),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            complain(&failure, json);
            ExitCode::FAILURE
        }
    }
}

/// Says what went wrong, on standard error.
fn complain(failure: &str, json: bool) {
    if json {
        eprintln!("{}", serde_json::json!({ "error": { "message": failure } }));
    } else {
        eprintln!("farebox: {failure}");
    }
}

/// Writes one line to standard output; a reader that has gone is no failure of ours.
fn say(line: &str) -> Result<(), Failure> {
    use std::io::Write;
    writeln!(std::io::stdout(), "{line}").map_err(|error| format!("standard output: {error}"))
}
