//! `farebox book`: check, compare and make price books.

mod import;

use clap::Subcommand;

use super::Failure;

#[derive(Subcommand)]
pub(super) enum Verb {
    /// Make the catalogue of upstream costs from public price data.
    Import(import::Args),
}

pub(super) fn run(verb: &Verb, _json: bool) -> Result<(), Failure> {
    match verb {
        Verb::Import(args) => import::run(args),
    }
}
