//! Which vocabulary a model's tokens are counted with.

use super::split::Rules;

/// A vocabulary this project has, with the rules its text is split by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Vocabulary {
    /// GPT-4o and later.
    O200kBase,
    /// GPT-4, GPT-3.5 and the embedding models of their time.
    Cl100kBase,
}

impl Vocabulary {
    /// Every vocabulary.
    pub const ALL: [Self; 2] = [Self::O200kBase, Self::Cl100kBase];

    /// The name the reference implementation knows it by: `o200k_base`, `cl100k_base`.
    pub fn name(self) -> &'static str {
        match self {
            Self::O200kBase => "o200k_base",
            Self::Cl100kBase => "cl100k_base",
        }
    }

    /// The vocabulary of that name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|vocabulary| vocabulary.name() == name)
    }

    pub(super) fn rules(self) -> Rules {
        match self {
            Self::O200kBase => Rules::O200k,
            Self::Cl100kBase => Rules::Cl100k,
        }
    }
}

/// How a model's tokens are counted, and how far the count can be trusted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    /// The model's own vocabulary: the count of a text is exact.
    Exact(Vocabulary),
    /// The model's vocabulary is another one: the count is an estimate.
    Approximate {
        /// What is counted with instead.
        by: Vocabulary,
        /// How far off; `None` where the model's vocabulary is not public, or not known here.
        error: Option<Spread>,
    },
}

/// What a true count was, in hundredths of ours: the least and the most seen on the texts measured
/// (docs/tokens.md). No bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Spread {
    /// 80: the true count was never below 0.8 of ours.
    pub least_percent: u16,
    /// 130: the true count was never above 1.3 of ours.
    pub most_percent: u16,
}

impl Encoding {
    /// The encoding of a model, by the name it has on the wire: with or without a provider before
    /// a slash, `ft:` for a fine-tuned one, a date or size after it.
    ///
    /// ```
    /// use farebox::tokens::{Encoding, Vocabulary};
    /// assert_eq!(Encoding::of_model("gpt-4o-mini"), Encoding::Exact(Vocabulary::O200kBase));
    /// assert_eq!(Encoding::of_model("gpt-4"), Encoding::Exact(Vocabulary::Cl100kBase));
    /// assert!(matches!(Encoding::of_model("claude-opus-5"), Encoding::Approximate { .. }));
    /// ```
    pub fn of_model(model: &str) -> Self {
        let model = model.rsplit('/').next().unwrap_or(model);
        let model = model.strip_prefix("ft:").unwrap_or(model);
        if let Some((_, vocabulary)) = EXACT.iter().find(|(name, _)| names(model, name)) {
            return Self::Exact(*vocabulary);
        }
        let model = model.to_ascii_lowercase();
        let error = MEASURED.iter().find(|(family, _)| model.starts_with(family));
        Self::Approximate { by: Vocabulary::O200kBase, error: error.map(|(_, spread)| *spread) }
    }

    /// What is counted with.
    pub fn vocabulary(self) -> Vocabulary {
        match self {
            Self::Exact(vocabulary) | Self::Approximate { by: vocabulary, .. } => vocabulary,
        }
    }

    /// The least that `tokens` of this vocabulary were seen to be in the model's own: all of them
    /// where the count is exact, else so much less as it was off at most. For a model that was not
    /// measured, as much as any that was.
    ///
    /// ```
    /// use farebox::tokens::Encoding;
    /// let least_of_100 = |model| Encoding::of_model(model).least_of(100);
    /// assert_eq!(least_of_100("gpt-4o"), 100);
    /// assert_eq!(least_of_100("deepseek-chat"), 91);
    /// assert_eq!(least_of_100("claude-opus-5"), 77);
    /// ```
    pub fn least_of(self, tokens: u64) -> u64 {
        let Self::Approximate { error, .. } = self else { return tokens };
        let percent = error.map_or(LEAST_PERCENT, |seen| seen.least_percent.min(100));
        tokens.saturating_mul(u64::from(percent)).div_euclid(100)
    }

    /// The count is the model's own.
    pub fn is_exact(self) -> bool {
        matches!(self, Self::Exact(_))
    }
}

/// Models whose vocabulary their maker has published, as the reference implementation lists them.
const EXACT: [(&str, Vocabulary); 18] = {
    use Vocabulary::{Cl100kBase, O200kBase};
    [
        ("gpt-4o", O200kBase),
        ("chatgpt-4o", O200kBase),
        ("gpt-4.1", O200kBase),
        ("gpt-4.5", O200kBase),
        ("gpt-5", O200kBase),
        ("gpt-5.", O200kBase),
        ("gpt-oss", O200kBase),
        ("o1", O200kBase),
        ("o3", O200kBase),
        ("o4", O200kBase),
        ("gpt-4", Cl100kBase),
        ("gpt-3.5", Cl100kBase),
        ("gpt-35", Cl100kBase),
        ("text-embedding-ada-002", Cl100kBase),
        ("text-embedding-3-small", Cl100kBase),
        ("text-embedding-3-large", Cl100kBase),
        ("davinci-002", Cl100kBase),
        ("babbage-002", Cl100kBase),
    ]
};

/// Whether a model's name is this one, or this one with a version, size or date after it.
fn names(model: &str, name: &str) -> bool {
    let Some(rest) = model.strip_prefix(name) else { return false };
    rest.is_empty() || name.ends_with('.') || rest.starts_with(['-', ':', '@'])
}

/// Families whose vocabulary is public but not carried: how far o200k_base is off from it, measured
/// as docs/tokens.md tells.
const MEASURED: [(&str, Spread); 12] = [
    ("llama-3", spread(96, 112)),
    ("llama3", spread(96, 112)),
    ("meta-llama-3", spread(96, 112)),
    ("deepseek", spread(91, 111)),
    ("qwen2", spread(97, 113)),
    ("qwen3", spread(97, 113)),
    ("mistral", spread(103, 120)),
    ("kimi-k2", spread(93, 119)),
    ("kimi-k3", spread(93, 119)),
    ("glm-4", spread(94, 107)),
    ("glm-5", spread(94, 107)),
    ("minimax-m2", spread(77, 108)),
];

/// The lowest `least_percent` of all families measured.
const LEAST_PERCENT: u16 = 77;

const fn spread(least_percent: u16, most_percent: u16) -> Spread {
    Spread { least_percent, most_percent }
}

#[cfg(test)]
#[allow(clippy::panic)]
mod tests {
    use super::*;

    #[test]
    fn a_models_name_is_read_as_it_is_on_the_wire() {
        let exact = |model| match Encoding::of_model(model) {
            Encoding::Exact(vocabulary) => vocabulary.name(),
            Encoding::Approximate { .. } => "",
        };
        for (model, vocabulary) in [
            ("gpt-4o-2024-11-20", "o200k_base"),
            ("openai/gpt-4.1-nano", "o200k_base"),
            ("gpt-5.1-codex", "o200k_base"),
            ("openai/gpt-oss-120b", "o200k_base"),
            ("ft:gpt-4o-mini:acme::1", "o200k_base"),
            ("o4-mini", "o200k_base"),
            ("gpt-4-32k-0613", "cl100k_base"),
            ("gpt-35-turbo", "cl100k_base"),
            ("gpt-3.5-turbo-0125", "cl100k_base"),
            ("text-embedding-3-large", "cl100k_base"),
            ("gpt-4.2", ""),
            ("gpt-50", ""),
            ("o11", ""),
            ("gpt-4omni", ""),
            ("llama-4", ""),
            ("", ""),
        ] {
            assert_eq!(exact(model), vocabulary, "{model}");
        }
    }

    #[test]
    fn a_model_that_was_not_measured_goes_by_the_furthest_off_of_those_that_were() {
        let least = MEASURED.iter().map(|(_, spread)| spread.least_percent).min();
        assert_eq!(least, Some(LEAST_PERCENT));
    }

    #[test]
    fn an_estimate_says_how_far_off_it_was_seen_or_that_nobody_knows() {
        let error = |model| match Encoding::of_model(model) {
            Encoding::Approximate { error, .. } => error.map(|seen| seen.least_percent),
            Encoding::Exact(_) => panic!("{model} is exact"),
        };
        assert_eq!(error("deepseek/deepseek-chat"), Some(91));
        assert_eq!(error("Qwen/Qwen3-32B"), Some(97));
        assert_eq!(error("claude-opus-5"), None);
        assert_eq!(error("gemini-3-pro"), None);
    }
}
