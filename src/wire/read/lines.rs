//! The results of a batch: each line an answer of its own, told by its custom id.

use std::sync::Arc;

use memchr::memchr;

use super::{Reader, SubUsage, Unknown, paths};
use crate::money::Exact;
use crate::wire::json::{Node, Plan, Scanner};
use crate::wire::usage::{Meter, Provenance, Usage};

/// What a line says of itself, beside its answer.
const OF_LINES: &[&str] = &["response/status_code", "result/type"];

/// One line of a batch's results.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// The name that the client gave it.
    pub custom_id: Option<String>,
    /// Where it stands among the lines, from one.
    pub position: u64,
    /// What it used; complete in itself.
    pub usage: Usage,
    /// The upstream reported billable usage.
    pub usage_present: bool,
    /// It was not answered, and says so.
    pub failed: bool,
    /// The model that served.
    pub model: Option<String>,
    /// Usage of other models.
    pub sub_usage: Vec<SubUsage>,
    /// Numbers whose meaning is not known.
    pub unknown: Vec<Unknown>,
    /// Something reported contradicts itself, or the line is no JSON object.
    pub suspect: bool,
}

impl Line {
    /// Whether it costs something, or may: a line that failed and used nothing does not.
    pub fn is_billable(&self) -> bool {
        self.usage_present || !self.failed
    }
}

/// Reads results, cut anywhere. Holds nothing of a line but what is kept of any answer, however
/// long it is.
///
/// ```
/// use farebox::wire::read::Lines;
/// let line = br#"{"custom_id":"a","response":{"status_code":200,"body":{"usage":
///     {"prompt_tokens":5,"completion_tokens":2,"total_tokens":7}}}}"#;
/// let text = line.iter().map(|byte| if *byte == b'\n' { b' ' } else { *byte });
/// let mut lines = Lines::default();
/// let mut seen = Vec::new();
/// lines.feed(&text.collect::<Vec<u8>>(), &mut |line| seen.push(line));
/// assert!(seen.is_empty(), "its end has not come");
/// lines.end(&mut |line| seen.push(line));
/// assert_eq!(seen[0].custom_id.as_deref(), Some("a"));
/// assert!(seen[0].is_billable());
/// ```
pub struct Lines {
    plan: Arc<Plan>,
    scanner: Scanner,
    reader: Reader,
    head: Head,
    position: u64,
    /// The line at hand has more than spaces.
    begun: bool,
}

/// What a line says of itself.
#[derive(Default)]
struct Head {
    custom_id: Option<String>,
    failed: bool,
    is_object: bool,
}

impl Default for Lines {
    fn default() -> Self {
        Self {
            plan: Arc::new(paths::fresh(OF_LINES)),
            scanner: Scanner::default(),
            reader: Reader::new(false, false),
            head: Head::default(),
            position: 0,
            begun: false,
        }
    }
}

impl Lines {
    /// Feeds one chunk; `on_line` sees each line that it completes.
    pub fn feed(&mut self, mut chunk: &[u8], on_line: &mut dyn FnMut(Line)) {
        while let Some(end) = memchr(b'\n', chunk) {
            let (piece, rest) = chunk.split_at_checked(end).unwrap_or((chunk, &[]));
            chunk = rest.get(1..).unwrap_or_default();
            self.piece(piece);
            self.finish(on_line);
        }
        self.piece(chunk);
    }

    /// The results are over: a last line need not have an end of its own.
    pub fn end(&mut self, on_line: &mut dyn FnMut(Line)) {
        self.finish(on_line);
    }

    /// The next line is the first of another list of the same answers.
    pub(in crate::wire) fn begin_again(&mut self) {
        self.position = 0;
    }

    /// A part of the line at hand.
    pub(in crate::wire) fn piece(&mut self, piece: &[u8]) {
        self.begun |= piece.iter().any(|byte| !byte.is_ascii_whitespace());
        let Self { plan, scanner, reader, head, .. } = self;
        scanner.feed(plan, piece, &mut |root| {
            head.read(root);
            reader.unit(b"", root);
        });
    }

    /// The line at hand is over.
    pub(in crate::wire) fn finish(&mut self, on_line: &mut dyn FnMut(Line)) {
        self.position = self.position.saturating_add(1);
        if !core::mem::take(&mut self.begun) {
            self.scanner.reset();
            return;
        }
        let Self { scanner, reader, head, .. } = self;
        scanner.end(&mut |root| {
            head.read(root);
            reader.unit(b"", root);
        });
        let broken = scanner.saw_twice() || scanner.went_over() || scanner.saw_more();
        scanner.reset();
        let answer = core::mem::take(&mut reader.answer);
        let head = core::mem::take(head);
        let mut usage = answer.usage;
        usage.complete_input();
        usage.set(Meter::Requests, Exact::from(1), Provenance::Counted);
        let is_silent = !answer.usage_present && !head.failed;
        on_line(Line {
            custom_id: head.custom_id,
            position: self.position,
            usage,
            usage_present: answer.usage_present,
            failed: head.failed,
            model: answer.model,
            sub_usage: answer.sub_usage,
            unknown: answer.unknown,
            suspect: answer.suspect || broken || is_silent || !head.is_object,
        });
    }
}

impl Head {
    fn read(&mut self, root: &Node) {
        self.is_object |= root.is_object();
        let named = ["custom_id", "recordId", "key"].iter().find_map(|key| root.text(key));
        self.custom_id = named.map(str::to_owned);
        let refused = match root.at("response/status_code") {
            Some(Node::Number(status)) => !status.starts_with('2'),
            _ => false,
        };
        let unanswered = matches!(
            root.text("result/type"),
            Some("errored" | "canceled" | "cancelled" | "expired")
        );
        let error = root.get("error").or_else(|| root.at("response/body/error"));
        self.failed = refused || unanswered || error.is_some();
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::*;

    /// A line as it comes: without the breaks it is written with here.
    fn flat(json: &str) -> String {
        json.lines().map(str::trim_start).collect()
    }

    fn read(text: &str, cut: usize) -> Vec<Line> {
        let (mut lines, mut seen) = (Lines::default(), Vec::new());
        text.as_bytes().chunks(cut).for_each(|piece| lines.feed(piece, &mut |l| seen.push(l)));
        lines.end(&mut |line| seen.push(line));
        seen
    }

    const CHAT: &str = r#"{"id":"r1","custom_id":"a","response":{"status_code":200,
        "body":{"object":"chat.completion","model":"gpt-4o-mini-2024-07-18",
        "choices":[{"message":{"content":"{\"custom_id\":\"x\",\"usage\":{\"prompt_tokens\":1}}"},
        "finish_reason":"stop"}],"usage":{"prompt_tokens":57,"completion_tokens":12,
        "total_tokens":69}}},"error":null}"#;
    const CLAUDE: &str = r#"{"custom_id":"b","result":{"type":"succeeded",
        "message":{"type":"message","model":"claude-haiku-4-5-20251001","usage":{"input_tokens":27,
        "cache_creation_input_tokens":0,"cache_read_input_tokens":0,"output_tokens":64,
        "service_tier":"batch"}}}}"#;
    const FAILED: [&str; 5] = [
        r#"{"custom_id":"c","response":{"status_code":400,"body":{"error":{"message":"no"}}},"error":null}"#,
        r#"{"custom_id":"d","response":null,"error":{"code":"batch_expired","message":"late"}}"#,
        r#"{"custom_id":"e","result":{"type":"errored","error":{"type":"error",
            "error":{"type":"invalid_request","message":"no"}}}}"#,
        r#"{"custom_id":"f","result":{"type":"canceled"}}"#,
        r#"{"custom_id":"g","result":{"type":"expired"}}"#,
    ];

    #[test]
    fn each_line_is_an_answer_of_its_own_wherever_the_chunks_are_cut() {
        let failed = FAILED.map(flat).join("\n");
        let text = format!("{}\r\n\n{}\n{failed}", flat(CHAT), flat(CLAUDE));
        let whole = read(&text, usize::MAX);
        let told: Vec<_> = whole
            .iter()
            .map(|line| (line.custom_id.clone().unwrap(), line.position, line.is_billable()))
            .collect();
        let expect = |id: &str, position, billable| (id.to_owned(), position, billable);
        assert_eq!(told[..3], [expect("a", 1, true), expect("b", 3, true), expect("c", 4, false)]);
        assert!(told.iter().skip(2).all(|(_, _, billable)| !billable));
        assert_eq!(whole[0].usage.get(Meter::InputTotal), Some(Exact::from(57)));
        assert_eq!(whole[1].usage.get(Meter::OutputTotal), Some(Exact::from(64)));
        assert_eq!(whole[0].model.as_deref(), Some("gpt-4o-mini-2024-07-18"));
        assert!(whole.iter().all(|line| !line.suspect));
        for cut in [1, 2, 7, 64] {
            assert_eq!(read(&text, cut), whole, "cut at {cut}");
        }
    }

    #[test]
    fn a_line_that_says_too_little_is_never_free() {
        for line in [
            r#"{"custom_id":"a","response":{"status_code":200,"body":{"choices":[]}}}"#,
            r#"{"response":{"status_code":200,"body":{"usage":{"prompt_tokens":1}}}}"#,
            "not json at all",
            r#"{"custom_id":"a","response":{"status_code":200"#,
        ] {
            let lines = read(line, usize::MAX);
            assert_eq!(lines.len(), 1, "{line}");
            assert!(lines[0].is_billable(), "{line}");
        }
        assert!(read("not json", usize::MAX)[0].suspect);
    }

    #[test]
    fn a_failed_line_with_a_usage_is_billed_for_it() {
        let line = r#"{"custom_id":"a","response":{"status_code":500,
            "body":{"error":{"message":"x"},"usage":{"prompt_tokens":5,"completion_tokens":0,
            "total_tokens":5}}}}"#;
        assert!(read(&flat(line), usize::MAX)[0].is_billable());
    }

    #[test]
    fn a_line_of_any_length_is_read() {
        let long = flat(CHAT).replace("stop", &"x".repeat(300_000));
        let lines = read(&format!("{long}\n{}", flat(CLAUDE)), 4096);
        assert_eq!(lines.len(), 2);
        assert_eq!(lines[0].usage.get(Meter::OutputTotal), Some(Exact::from(12)));
    }
}
