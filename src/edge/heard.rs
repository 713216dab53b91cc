//! What is heard in a session between two looks of its loop: turns that began and ended, transcripts,
//! and what the client asks of them.

use std::collections::VecDeque;

use crate::meter::{Metering, Reading};
use crate::wire::request::{BadRequest, Transcription, transcription};

/// Turns held for at once. A client asks for one after the other; answers outside of the
/// conversation may run beside it, a few at a time.
const TURNS_AT_ONCE_MAX: u64 = 16;
/// Turns that ended and are not settled yet, before the next are charged together with the last.
const READINGS_MAX: usize = 64;

/// What an event of the client's asks of transcription, or why it cannot be read.
pub type Asked = Result<Transcription, BadRequest>;

/// What is heard between two looks of the session's loop.
pub struct Heard {
    pub metering: Metering,
    /// Turns that are over, to be settled.
    pub over: Vec<Reading>,
    /// Transcripts to be settled, each by itself: they are no part of the turn they come in.
    transcripts: Vec<Reading>,
    /// How many turns, and how many transcripts, are held for.
    pub held: (u64, u64),
    /// Events that wait for a decision, in order; the bridge bounds their bytes.
    pub asked: VecDeque<Asked>,
    /// Transcripts are paid for here: their model is agreed.
    pub transcribes: bool,
}

impl Heard {
    pub fn new(metering: Metering) -> Self {
        let (over, asked) = (Vec::new(), VecDeque::new());
        let transcripts = Vec::new();
        Self { metering, over, transcripts, held: (1, 0), asked, transcribes: false }
    }

    /// Reads a frame; whether there is something to settle or to hold for.
    pub fn frame(&mut self, text: &str) -> bool {
        self.metering.frame(text.as_bytes());
        // Before the turn is taken: its own frame may be the next to be heard.
        let transcript = self.metering.take_transcripts();
        let has_transcript = transcript.is_some();
        if let Some(transcript) = transcript {
            push(&mut self.transcripts, transcript);
        }
        if self.metering.has_turn() {
            let turn = self.metering.take_turn();
            push(&mut self.over, turn);
            return true;
        }
        let (turns, transcripts) = self.needed();
        has_transcript || turns > self.held.0 || transcripts > self.held.1
    }

    /// Reads an event of the client's; whether the upstream may have it only after a decision.
    pub fn client(&mut self, text: &str) -> bool {
        match transcription(text) {
            Ok(None) => return false,
            Ok(Some(asked)) => self.asked.push_back(Ok(asked)),
            Err(bad) => self.asked.push_back(Err(bad)),
        }
        true
    }

    /// How many turns and transcripts may be under way: always the next of each that can come.
    pub fn needed(&self) -> (u64, u64) {
        let turns = self.metering.open_turns().clamp(1, TURNS_AT_ONCE_MAX);
        let transcripts = self.metering.open_transcripts().clamp(1, TURNS_AT_ONCE_MAX);
        (turns, if self.transcribes { transcripts } else { 0 })
    }

    /// Whether something is under way whose usage is still to be told.
    pub fn is_waiting(&self) -> bool {
        self.metering.open_turns() > 0 || self.metering.open_transcripts() > 0
    }

    /// Turns to settle: not more than there are holds, so that each has one.
    pub fn take(&mut self, holds: usize) -> Vec<Reading> {
        folded(&mut self.over, holds)
    }

    /// Transcripts to settle, likewise.
    pub fn take_transcripts(&mut self, holds: usize) -> Vec<Reading> {
        folded(&mut self.transcripts, holds)
    }
}

fn push(readings: &mut Vec<Reading>, reading: Reading) {
    let full = readings.len() >= READINGS_MAX;
    match readings.last_mut() {
        Some(last) if full => last.add(reading),
        _ => readings.push(reading),
    }
}

/// All of them; the last together where they are more than `holds`.
fn folded(readings: &mut Vec<Reading>, holds: usize) -> Vec<Reading> {
    while readings.len() > holds.max(1)
        && let Some(reading) = readings.pop()
        && let Some(last) = readings.last_mut()
    {
        last.add(reading);
    }
    core::mem::take(readings)
}
