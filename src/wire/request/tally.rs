//! Adds up a body's content: words at least, and parts of other kinds than text.

use std::collections::BTreeMap;

use super::json::Json;
use crate::tokens;

/// What content adds up to.
#[derive(Default)]
pub(super) struct Tally {
    /// Fewest tokens its text can be.
    pub least: u64,
    /// How many parts of other kinds there are: `image`, `audio`, `video`, `file`.
    pub parts: BTreeMap<&'static str, u64>,
    /// Bytes of pictures and sounds inside the body, which become tokens by another rule.
    pub payload_bytes: u64,
}

/// Keys whose presence makes an object a part of that kind, where no `type` says it.
const KINDS_BY_KEY: [(&str, &str); 9] = [
    ("image_url", "image"),
    ("image", "image"),
    ("input_audio", "audio"),
    ("audio", "audio"),
    ("video", "video"),
    ("video_url", "video"),
    ("document", "file"),
    ("fileData", "file"),
    ("file_data", "file"),
];

/// Fields inside a part that hold more content.
const INNER: [&str; 12] = [
    "content",
    "text",
    "input",
    "output",
    "arguments",
    "thinking",
    "parts",
    "toolResult",
    "functionResponse",
    "response",
    "json",
    "query",
];

impl Tally {
    pub(super) fn content(&mut self, value: &Json<'_>) {
        match value {
            Json::Text(text) => self.least = self.least.saturating_add(tokens::at_least(text)),
            Json::List(items) => items.iter().for_each(|item| self.content(item)),
            Json::Object(_) => self.object(value),
            Json::Null | Json::Bool(_) | Json::Whole(_) | Json::Number => {}
        }
    }

    /// Counts a part whose bytes came beside the body.
    pub(super) fn part(&mut self, kind: &'static str) {
        let entry = self.parts.entry(kind).or_default();
        *entry = entry.saturating_add(1);
    }

    fn object(&mut self, value: &Json<'_>) {
        if let Some(kind) = kind_of(value) {
            self.part(kind);
            value.each_text(&mut |text| {
                let bytes = u64::try_from(text.len()).unwrap_or(0);
                self.payload_bytes = self.payload_bytes.saturating_add(bytes);
            });
            return;
        }
        for field in INNER {
            if let Some(inner) = value.get(field) {
                self.content(inner);
            }
        }
    }
}

fn kind_of(value: &Json<'_>) -> Option<&'static str> {
    match value.get("type").and_then(Json::text) {
        Some("image_url" | "image" | "input_image") => return Some("image"),
        Some("input_audio" | "audio" | "audio_url") => return Some("audio"),
        Some("video" | "video_url" | "input_video") => return Some("video"),
        Some("file" | "document" | "input_file" | "container_upload" | "document_url") => {
            return Some("file");
        }
        Some(_) => return None,
        None => {}
    }
    // Gemini: {"inlineData": {"mimeType", "data"}}.
    for (data, mime) in [("inlineData", "mimeType"), ("inline_data", "mime_type")] {
        if let Some(data) = value.get(data) {
            let mime = data.get(mime).and_then(Json::text).unwrap_or_default();
            let kinds = [("image/", "image"), ("audio/", "audio"), ("video/", "video")];
            let found = kinds.iter().find(|(prefix, _)| mime.starts_with(prefix));
            return Some(found.map_or("file", |(_, kind)| kind));
        }
    }
    let object = |key: &str| matches!(value.get(key), Some(Json::Object(_)));
    KINDS_BY_KEY.iter().find(|(key, _)| object(key)).map(|(_, kind)| *kind)
}
