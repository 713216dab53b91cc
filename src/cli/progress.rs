//! A progress bar on standard error, where somebody looks at it.

use std::io::{IsTerminal, Write, stderr};

/// Characters of the bar.
const WIDTH: usize = 30;

/// How much of something is done.
pub(super) struct Progress {
    total: u64,
    done: u64,
    /// What was shown last, in percent; `None`: nobody looks.
    shown: Option<u64>,
}

impl Progress {
    /// Of so many bytes. Shown where standard error is a terminal, or where asked for.
    pub(super) fn new(total: u64, asked: bool) -> Self {
        let shown = (asked || stderr().is_terminal()).then_some(u64::MAX);
        Self { total, done: 0, shown }
    }

    /// So many more are done.
    pub(super) fn add(&mut self, bytes: usize) {
        self.done = self.done.saturating_add(bytes as u64);
        let percent = percent(self.done, self.total);
        if self.shown.is_some_and(|shown| shown != percent) {
            self.shown = Some(percent);
            let full = usize::try_from(percent).unwrap_or(0) * WIDTH / 100;
            let _ = write!(stderr(), "\r[{:<WIDTH$}] {percent:>3} %", "#".repeat(full));
        }
    }

    /// The bar leaves the screen: what is told next begins a line.
    pub(super) fn end(&mut self) {
        if self.shown.take().is_some_and(|shown| shown != u64::MAX) {
            let _ = write!(stderr(), "\r{:WIDTH$}        \r", "");
        }
    }
}

fn percent(done: u64, total: u64) -> u64 {
    done.saturating_mul(100).checked_div(total).unwrap_or(100).min(100)
}
