//! One connection's turns, each read by itself.

use super::Reader;
use super::answer::{Answer, SubUsage};
use crate::wire::usage::Meter;

/// What usage of a transcript is called on records.
pub(crate) const TRANSCRIPT: &str = "transcription";

impl Reader {
    /// A session in which nothing is being said: it may end at any time.
    pub(crate) fn is_idle(&self) -> bool {
        self.session && !self.answer.content_since
    }

    /// A reader for what follows in the same session; this one keeps what it has read.
    pub(crate) fn next_turn(&mut self) -> Self {
        let begun = self.open_turns();
        let answer = Answer {
            model: self.answer.model.clone(),
            turns: core::mem::take(&mut self.answer.turns),
            content_since: begun > 0,
            begun,
            ..Answer::default()
        };
        Self {
            plan: self.plan.clone(),
            custom: self.custom.clone(),
            transcriber: self.transcriber.clone(),
            xai: self.xai,
            committed: self.committed,
            transcribed: self.transcribed,
            answer,
            ..Self::new(true, false)
        }
    }

    /// Turns that are over.
    pub(crate) fn turns_over(&self) -> u64 {
        let turns = self.answer.usage.get(Meter::Turns);
        turns.and_then(crate::money::Exact::to_u64).unwrap_or(0)
    }

    /// Names the model that transcribes what is heard, as the session was asked to.
    pub(crate) fn transcribed_by(&mut self, model: &str) {
        self.transcriber = Some(model.to_owned());
    }

    /// Transcripts under way: what was said is committed, and no transcript of it has come.
    pub(crate) fn open_transcripts(&self) -> u64 {
        self.committed.saturating_sub(self.transcribed)
    }

    /// Whether the usage of a transcript has come that was not taken yet.
    pub(crate) fn has_transcript(&self) -> bool {
        self.answer.sub_usage.iter().any(is_transcript)
    }

    /// The usage of transcripts, apart from the turns they came in between.
    pub(crate) fn take_transcripts(&mut self) -> Vec<SubUsage> {
        let all = core::mem::take(&mut self.answer.sub_usage);
        let (transcripts, rest) = all.into_iter().partition(is_transcript);
        self.answer.sub_usage = rest;
        self.answer.usage_present =
            !(self.answer.usage.is_empty() && self.answer.sub_usage.is_empty());
        if self.turns_over() == 0 {
            self.answer.ending = None;
            self.answer.content_since = self.open_turns() > 0;
        }
        transcripts
    }

    /// Sees what is said of transcripts, beside their usage.
    pub(super) fn hears(&mut self, kind: &str) {
        let committed = kind == "input_audio_buffer.committed" && self.transcriber.is_some();
        let over = matches!(
            kind,
            "conversation.item.input_audio_transcription.completed"
                | "conversation.item.input_audio_transcription.failed"
        );
        self.committed = self.committed.saturating_add(u64::from(committed));
        // One that nobody was waiting for closes none that comes later.
        self.transcribed = self.transcribed.saturating_add(u64::from(over)).min(self.committed);
    }

    /// Turns that have begun and are not over.
    pub(crate) fn open_turns(&self) -> u64 {
        self.answer.begun.saturating_sub(self.turns_over())
    }
}

fn is_transcript(sub: &SubUsage) -> bool {
    sub.kind == TRANSCRIPT
}
