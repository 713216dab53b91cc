//! The tables themselves. A native build carries every vocabulary; a Wasm build only that which its
//! feature names, so that the gate carries none.

use super::encoding::Vocabulary;
use super::table::Table;

#[cfg(any(not(target_arch = "wasm32"), feature = "o200k", feature = "cl100k"))]
macro_rules! table {
    ($folder:literal) => {
        Table {
            pairs: include_bytes!(concat!("data/", $folder, "/pairs.bin")),
            groups: include_bytes!(concat!("data/", $folder, "/groups.bin")),
            pilots: include_bytes!(concat!("data/", $folder, "/pilots.bin")),
            tokens: include_bytes!(concat!("data/", $folder, "/tokens.bin")),
            ranks_low: include_bytes!(concat!("data/", $folder, "/ranks_low.bin")),
            ranks_high: include_bytes!(concat!("data/", $folder, "/ranks_high.bin")),
        }
    };
}

#[cfg(any(not(target_arch = "wasm32"), feature = "o200k"))]
static O200K: Table = table!("o200k_base");
#[cfg(any(not(target_arch = "wasm32"), feature = "cl100k"))]
static CL100K: Table = table!("cl100k_base");

/// A vocabulary's table, where this build carries it.
pub fn table(vocabulary: Vocabulary) -> Option<&'static Table> {
    match vocabulary {
        #[cfg(any(not(target_arch = "wasm32"), feature = "o200k"))]
        Vocabulary::O200kBase => Some(&O200K),
        #[cfg(any(not(target_arch = "wasm32"), feature = "cl100k"))]
        Vocabulary::Cl100kBase => Some(&CL100K),
        #[allow(unreachable_patterns, reason = "reached in builds that carry only some")]
        _ => None,
    }
}
