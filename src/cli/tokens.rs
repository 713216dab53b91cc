//! `farebox tokens`: how many tokens are texts?

use serde::Deserialize;
use serde_json::{Value, json};

use super::Failure;
use super::lines::{self, LineError};
use crate::tokens::{Encoding, Tokeniser, Vocabulary};

/// One line: {"id", "text"} and either "model" or "encoding" (o200k_base, cl100k_base).
#[derive(Deserialize)]
struct Input {
    id: Value,
    text: String,
    #[serde(default)]
    model: Option<String>,
    #[serde(default)]
    encoding: Option<String>,
}

pub(super) fn run(args: &lines::Args) -> Result<(), Failure> {
    lines::each(args, |line| {
        let input: Input = serde_json::from_str(line)
            .map_err(|error| LineError::new("invalid_input", error.to_string()))?;
        count(&input)
    })
}

fn count(input: &Input) -> Result<Value, LineError> {
    let encoding = encoding(input)?;
    let vocabulary = encoding.vocabulary();
    let tokeniser = Tokeniser::of(vocabulary).ok_or_else(|| {
        LineError::new("encoding_not_built", format!("{} is not in this build", vocabulary.name()))
    })?;
    let count = tokeniser.count(&input.text);
    let mut answer = json!({
        "id": input.id, "tokens": count.at_least.to_string(), "encoding": vocabulary.name(),
        "exact": count.exact && encoding.is_exact(),
    });
    let Some(fields) = answer.as_object_mut() else { return Ok(answer) };
    if !count.exact {
        let most = count.at_most(input.text.len() as u64);
        fields.insert("at_most".into(), most.to_string().into());
    }
    if let Encoding::Approximate { error: Some(error), .. } = encoding {
        let spread = json!({ "least": error.least_percent, "most": error.most_percent });
        fields.insert("percent_of_true".into(), spread);
    }
    Ok(answer)
}

fn encoding(input: &Input) -> Result<Encoding, LineError> {
    match (input.model.as_deref(), input.encoding.as_deref()) {
        (Some(model), None) => Ok(Encoding::of_model(model)),
        (None, Some(name)) => Vocabulary::named(name).map(Encoding::Exact).ok_or_else(|| {
            let known = Vocabulary::ALL.map(Vocabulary::name).join(", ");
            LineError::new("unknown_encoding", format!("{name:?} is none of {known}"))
        }),
        _ => Err(LineError::new("invalid_input", "give either \"model\" or \"encoding\"")),
    }
}
