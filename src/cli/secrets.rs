//! Where the command finds secrets, and how it makes them. Never from arguments: those show in
//! process lists and shell histories.

use std::path::{Path, PathBuf};

use data_encoding::HEXLOWER;

use super::{Failure, say};
use crate::auth::Ring;

/// Prints a signing secret (1:<hex>); with --token, a plain token for FAREBOX_ADMIN_TOKEN.
#[derive(clap::Args)]
pub(super) struct Args {
    /// A plain token instead of a numbered signing secret.
    #[arg(long)]
    token: bool,
    /// The number of the secret: one more than the last, to rotate.
    #[arg(long, default_value_t = 1)]
    number: u32,
}

/// Where secrets may be read from, besides the environment.
#[derive(clap::Args)]
pub(super) struct Source {
    /// File of NAME=value lines to read settings from where the environment has none.
    #[arg(long, default_value = ".dev.vars")]
    vars: PathBuf,
}

pub(super) fn run(args: &Args, json: bool) -> Result<(), Failure> {
    let hex = random_hex()?;
    let secret = if args.token { hex } else { format!("{}:{hex}", args.number) };
    if json { say(&serde_json::json!({ "secret": secret }).to_string()) } else { say(&secret) }
}

/// So many bytes from the operating system.
pub(super) fn random<const N: usize>() -> Result<[u8; N], Failure> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(|error| format!("no random bytes: {error}"))?;
    Ok(bytes)
}

/// 32 random bytes in hex.
pub(super) fn random_hex() -> Result<String, Failure> {
    Ok(HEXLOWER.encode(&random::<32>()?))
}

impl Source {
    /// A setting from the environment, else from the file.
    pub(super) fn get(&self, name: &str) -> Option<String> {
        std::env::var(name).ok().or_else(|| from_file(&self.vars, name)).filter(|v| !v.is_empty())
    }

    /// A ring of signing secrets.
    pub(super) fn ring(&self, name: &str) -> Result<Ring, Failure> {
        let text = self.get(name).ok_or_else(|| {
            let file = self.vars.display();
            format!("{name} is not set, neither in the environment nor in {file}")
        })?;
        Ring::parse(&text).map_err(|error| format!("{name} {error}"))
    }
}

/// One setting of a file of `NAME=value` or `NAME="value"` lines.
pub(super) fn from_file(path: &Path, name: &str) -> Option<String> {
    let text = std::fs::read_to_string(path).ok()?;
    let mut pairs = text.lines().filter_map(|line| line.split_once('='));
    let (_, value) = pairs.find(|(key, _)| key.trim() == name)?;
    Some(value.trim().trim_matches(['"', '\'']).to_owned())
}
