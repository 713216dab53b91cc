//! The body of a Gemini batch, in both of Google's spellings.

use serde::Deserialize;
use serde::de::IgnoredAny;

use super::Items;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GeminiBody<'a> {
    #[serde(borrow)]
    pub batch: GeminiBatch<'a>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GeminiBatch<'a> {
    #[serde(default)]
    pub model: Option<String>,
    #[serde(borrow, alias = "inputConfig", rename = "input_config")]
    pub input: GeminiInput<'a>,
    #[serde(rename = "display_name", alias = "displayName", default)]
    _display_name: IgnoredAny,
    #[serde(rename = "priority", default)]
    _priority: IgnoredAny,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GeminiInput<'a> {
    #[serde(borrow, default)]
    pub requests: Option<GeminiRequests<'a>>,
    #[serde(alias = "fileName", default)]
    pub file_name: Option<IgnoredAny>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GeminiRequests<'a> {
    #[serde(borrow)]
    pub requests: Items<'a>,
}
