//! The files of an archive.

use std::fs;
use std::path::{Path, PathBuf};

use super::Failure;

/// Folders within folders that are followed; archives have two.
const DEPTH_MAX: usize = 16;

/// The NDJSON files at a path, in order of their names: the file itself, or all in a folder.
pub(super) fn files(path: &Path) -> Result<Vec<PathBuf>, Failure> {
    let files = named(path, "ndjson")?;
    if files.is_empty() {
        return Err(format!("{}: there are no .ndjson files here", path.display()));
    }
    Ok(files)
}

/// The signed checkpoints beside them; a single file has none.
pub(super) fn checkpoints(path: &Path) -> Result<Vec<PathBuf>, Failure> {
    if path.is_file() { Ok(Vec::new()) } else { named(path, "checkpoint") }
}

fn named(path: &Path, extension: &str) -> Result<Vec<PathBuf>, Failure> {
    let mut files = Vec::new();
    collect(path, extension, DEPTH_MAX, &mut files)?;
    files.sort();
    Ok(files)
}

fn collect(
    path: &Path,
    wanted: &str,
    depth: usize,
    files: &mut Vec<PathBuf>,
) -> Result<(), Failure> {
    let failed = |error: std::io::Error| format!("{}: {error}", path.display());
    if fs::metadata(path).map_err(failed)?.is_file() {
        files.push(path.to_owned());
        return Ok(());
    }
    let Some(depth) = depth.checked_sub(1) else {
        return Err(format!("{}: folders are nested too deep", path.display()));
    };
    for entry in fs::read_dir(path).map_err(failed)? {
        let entry = entry.map_err(failed)?.path();
        if entry.is_dir() || entry.extension().is_some_and(|extension| extension == wanted) {
            collect(&entry, wanted, depth, files)?;
        }
    }
    Ok(())
}
