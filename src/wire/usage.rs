//! The normalised usage: what an answer consumed, meter by meter, in one vocabulary for all APIs.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::money::Exact;

macro_rules! meters {
    ($($(#[$doc:meta])* $name:ident = $text:literal, $unit:literal;)*) => {
        /// A billable dimension.
        ///
        /// `input_total` = `input_uncached` + `cache_read` + `cache_write`; `cache_write` =
        /// `cache_write_5m` + `cache_write_1h` where split; `output_total` includes `reasoning`;
        /// the modality meters are parts of their total.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub enum Meter {
            $($(#[$doc])* #[serde(rename = $text)] $name,)*
        }

        impl Meter {
            /// Every meter, in the order records list them.
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            /// Its name in JSON.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }

            /// The meter of a name.
            pub fn named(name: &str) -> Option<Self> {
                match name { $($text => Some(Self::$name),)* _ => None }
            }

            /// What one of it is.
            pub fn unit(self) -> &'static str {
                match self { $(Self::$name => $unit,)* }
            }
        }
    };
}

meters! {
    /// All input tokens.
    InputTotal = "input_total", "token";
    /// Input tokens that were neither read from a cache nor written to one.
    InputUncached = "input_uncached", "token";
    /// Input tokens read from a cache.
    CacheRead = "cache_read", "token";
    /// Input tokens written to a cache.
    CacheWrite = "cache_write", "token";
    /// … for five minutes.
    CacheWrite5m = "cache_write_5m", "token";
    /// … for an hour.
    CacheWrite1h = "cache_write_1h", "token";
    /// All output tokens, reasoning included.
    OutputTotal = "output_total", "token";
    /// Output tokens spent on reasoning.
    Reasoning = "reasoning", "token";
    /// Input tokens of text.
    TextIn = "text_in", "token";
    /// Input tokens of audio.
    AudioIn = "audio_in", "token";
    /// Input tokens of images.
    ImageIn = "image_in", "token";
    /// Input tokens of video.
    VideoIn = "video_in", "token";
    /// Input tokens of documents.
    DocumentIn = "document_in", "token";
    /// Output tokens of text.
    TextOut = "text_out", "token";
    /// Output tokens of audio.
    AudioOut = "audio_out", "token";
    /// Output tokens of images.
    ImageOut = "image_out", "token";
    /// Cached input tokens of text.
    CacheReadText = "cache_read_text", "token";
    /// Cached input tokens of audio.
    CacheReadAudio = "cache_read_audio", "token";
    /// Cached input tokens of images.
    CacheReadImage = "cache_read_image", "token";
    /// Output tokens of a prediction that was used.
    AcceptedPrediction = "accepted_prediction", "token";
    /// Output tokens of a prediction that was not used; billed all the same.
    RejectedPrediction = "rejected_prediction", "token";
    /// Input tokens of a tool's own prompt.
    ToolPrompt = "tool_prompt", "token";
    /// Web searches run by the provider.
    WebSearchRequests = "web_search_requests", "request";
    /// Web pages fetched by the provider.
    WebFetchRequests = "web_fetch_requests", "request";
    /// Searches of X run by the provider.
    XSearchRequests = "x_search_requests", "request";
    /// Search units (rerankers).
    SearchUnits = "search_units", "unit";
    /// Search queries.
    SearchQueries = "search_queries", "request";
    /// Citation tokens.
    Citation = "citation", "token";
    /// The provider's own price in 1e-10 US dollars.
    CostInUsdTicks = "cost_in_usd_ticks", "tick";
    /// Images made.
    Images = "images", "image";
    /// Characters of text.
    Characters = "characters", "character";
    /// Seconds of media.
    Seconds = "seconds", "second";
    /// Seconds of computing.
    PredictSeconds = "predict_seconds", "second";
    /// Pages read.
    Pages = "pages", "page";
    /// Turns of a conversation over one connection.
    Turns = "turns", "turn";
    /// Tokens a counting endpoint counted; free.
    CountedTokens = "counted_tokens", "token";
    /// Always one.
    Requests = "requests", "request";
}

/// Where a quantity comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Provenance {
    /// The upstream said so.
    Reported,
    /// Counted here: a lower bound.
    Counted,
    /// Guessed here.
    Estimated,
    /// Reported after the hold had expired.
    Late,
}

/// One quantity and where it comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Measured {
    /// How much, in the meter's unit.
    pub quantity: Exact,
    /// Where that comes from.
    pub provenance: Provenance,
}

/// What one answer consumed. A meter that is not in it was not reported; that is not zero.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Usage(BTreeMap<Meter, Measured>);

impl Usage {
    /// The quantity of `meter`, if known.
    pub fn get(&self, meter: Meter) -> Option<Exact> {
        self.0.get(&meter).map(|measured| measured.quantity)
    }

    /// Sets `meter`, replacing what was known.
    pub fn set(&mut self, meter: Meter, quantity: Exact, provenance: Provenance) {
        self.0.insert(meter, Measured { quantity, provenance });
    }

    /// Forgets `meter`.
    pub fn remove(&mut self, meter: Meter) {
        self.0.remove(&meter);
    }

    /// Sets `meter` as reported; `None` (not reported, or null) leaves it as it was.
    pub fn report(&mut self, meter: Meter, quantity: Option<Exact>) {
        if let Some(quantity) = quantity {
            self.set(meter, quantity, Provenance::Reported);
        }
    }

    /// All known quantities, in record order.
    pub fn iter(&self) -> impl Iterator<Item = (Meter, Measured)> + '_ {
        self.0.iter().map(|(meter, measured)| (*meter, *measured))
    }

    /// Whether nothing is known.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Adds the one of `input_total` and `input_uncached` that was not reported, where it follows
    /// from the other. A negative remainder is left out: the report contradicts itself.
    pub fn complete_input(&mut self) {
        let part = |meter| self.get(meter).unwrap_or(Exact::ZERO);
        let Ok(cached) = part(Meter::CacheRead).plus(part(Meter::CacheWrite)) else { return };
        let derived = match (self.get(Meter::InputTotal), self.get(Meter::InputUncached)) {
            (Some(total), None) => (Meter::InputUncached, total.minus(cached)),
            (None, Some(uncached)) => (Meter::InputTotal, uncached.plus(cached)),
            _ => return,
        };
        if let (meter, Ok(quantity)) = derived
            && !quantity.is_negative()
        {
            self.set(meter, quantity, Provenance::Reported);
        }
    }
}
