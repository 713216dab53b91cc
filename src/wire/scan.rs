//! Looks for a key in JSON bytes without parsing them.
//!
//! Inside a JSON string every quote is escaped, so the bytes `"usage"` followed by a colon can only
//! be a key: a model that writes the text `"usage": {` produces `\"usage\": {`. That makes the scan a
//! safe filter; what passes it is still parsed properly.

use memchr::memmem;

/// Whether `json` holds the key `quoted` (given with its quotes) with a value that starts with a
/// byte `value` accepts.
pub fn has_key(json: &[u8], quoted: &[u8], value: impl Fn(u8) -> bool) -> bool {
    memmem::find_iter(json, quoted).any(|at| {
        let after = json.get(at.saturating_add(quoted.len())..).unwrap_or_default();
        let mut rest = after.iter().copied().filter(|byte| !byte.is_ascii_whitespace());
        rest.next() == Some(b':') && rest.next().is_some_and(&value)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn s46_text_that_looks_like_a_key_is_not_one() {
        let is_object = |byte| byte == b'{';
        assert!(has_key(br#"{"a":1,"usage" : {"x":1}}"#, b"\"usage\"", is_object));
        assert!(!has_key(br#"{"usage":null}"#, b"\"usage\"", is_object));
        let text = serde_json::json!({"content": "so \"usage\":{\"prompt_tokens\":1}"}).to_string();
        assert!(!has_key(text.as_bytes(), b"\"usage\"", is_object));
    }
}
