//! Batches and their files: the paths of their APIs, and what a provider says of a batch.

mod inlined;
mod object;

pub use inlined::Inlined;
pub use object::{Object, with_results_at};

use super::route::{Api, Endpoint, Route};

/// What a path of the batch APIs names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum What<'p> {
    /// All files.
    Files,
    /// One file.
    File(&'p str),
    /// What is in it.
    Content(&'p str),
    /// All batches.
    Batches,
    /// One batch.
    Batch(&'p str),
    /// Its end before its time.
    Cancel(&'p str),
    /// Its results.
    Results(&'p str),
}

/// Whose way of running batches a path belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    /// Requests in a file, answers in a file.
    OpenAi,
    /// Requests in the body, answers at a path of their own.
    Anthropic,
    /// As OpenAI's, in other words.
    Mistral,
    /// Requests in the body, answers in what is said of the batch.
    Gemini,
}

impl Family {
    /// Whose a path is, if it is one of a batch API at all.
    pub fn of(path: &str) -> Option<Self> {
        Self::split(path).map(|(family, _)| family)
    }

    /// Whose a path is, and what follows the part that says so.
    fn split(path: &str) -> Option<(Self, &str)> {
        if let Some(rest) = path.strip_prefix("/v1/messages/batches") {
            return Some((Self::Anthropic, rest));
        }
        if let Some(rest) = path.strip_prefix("/v1/batch/jobs") {
            return Some((Self::Mistral, rest));
        }
        if let Some(rest) = path.strip_prefix("/v1beta/") {
            return Some((Self::Gemini, rest));
        }
        let rest = path.strip_prefix("/openai").unwrap_or(path).strip_prefix("/v1/")?;
        Some((Self::OpenAi, rest))
    }
}

/// A path of the batch APIs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place<'p> {
    /// Whose.
    pub family: Family,
    /// As it is forwarded.
    pub route: Route<'p>,
    /// What it names.
    pub what: What<'p>,
}

/// Longest name of a batch or file; the APIs' are a third as long.
const ID_MAX: usize = 128;

impl<'p> Place<'p> {
    /// Reads a path without its query.
    ///
    /// ```
    /// use farebox::wire::batch::{Place, What};
    /// let what = |path| Place::of(path).map(|place| place.what);
    /// assert_eq!(what("/v1/batches/batch_1/cancel"), Some(What::Cancel("batch_1")));
    /// assert_eq!(what("/v1/messages/batches/b/results"), Some(What::Results("b")));
    /// assert_eq!(what("/v1/files/f-1/content"), Some(What::Content("f-1")));
    /// assert_eq!(what("/v1/batch/jobs/9f1c"), Some(What::Batch("9f1c")));
    /// assert_eq!(what("/v1beta/batches/b1:cancel"), Some(What::Cancel("b1")));
    /// assert_eq!(what("/v1/files/../x"), None);
    /// ```
    pub fn of(path: &'p str) -> Option<Self> {
        let path = path.strip_suffix('/').unwrap_or(path);
        let (family, rest) = Family::split(path)?;
        let (api, what) = match family {
            Family::Gemini => return Self::gemini(path, rest),
            Family::Anthropic => (Api::Anthropic, Self::batch(rest, true)?),
            Family::Mistral => (Api::OpenAi, Self::batch(rest, false)?),
            Family::OpenAi => match (rest.strip_prefix("batches"), rest.strip_prefix("files")) {
                (Some(rest), _) => (Api::OpenAi, Self::batch(rest, false)?),
                (_, Some(rest)) => (Api::OpenAi, Self::file(rest)?),
                _ => return None,
            },
        };
        Some(Self::new(path, family, api, what))
    }

    fn new(path: &'p str, family: Family, api: Api, what: What<'p>) -> Self {
        let endpoint = Endpoint::Job;
        Self { family, route: Route { path, api, endpoint, model: None, stream: false }, what }
    }

    /// `models/{model}:batchGenerateContent` begins one; `batches/{id}` and `batches/{id}:cancel`.
    fn gemini(path: &'p str, rest: &'p str) -> Option<Self> {
        let of = |what| Self::new(path, Family::Gemini, Api::Google, what);
        if let Some(model) = rest.strip_prefix("models/") {
            let model = model.strip_suffix(":batchGenerateContent")?;
            let is_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
            let fits = (1..=ID_MAX).contains(&model.len()) && model.chars().all(is_name);
            let Self { family, route, what } = of(What::Batches);
            return fits.then_some(Self {
                family,
                route: Route { model: Some(model), ..route },
                what,
            });
        }
        match rest.strip_prefix("batches")?.strip_prefix('/') {
            None => (rest == "batches").then(|| of(What::Batches)),
            Some(id) => match id.strip_suffix(":cancel") {
                Some(id) => is_id(id).then(|| of(What::Cancel(id))),
                None => is_id(id).then(|| of(What::Batch(id))),
            },
        }
    }

    fn batch(rest: &'p str, has_results: bool) -> Option<What<'p>> {
        if rest.is_empty() {
            return Some(What::Batches);
        }
        let (id, verb) = named(rest)?;
        match verb {
            "" => Some(What::Batch(id)),
            "cancel" => Some(What::Cancel(id)),
            "results" if has_results => Some(What::Results(id)),
            _ => None,
        }
    }

    fn file(rest: &'p str) -> Option<What<'p>> {
        if rest.is_empty() {
            return Some(What::Files);
        }
        let (id, verb) = named(rest)?;
        match verb {
            "" => Some(What::File(id)),
            "content" => Some(What::Content(id)),
            _ => None,
        }
    }
}

/// `/id` or `/id/verb`.
fn named(rest: &str) -> Option<(&str, &str)> {
    let rest = rest.strip_prefix('/')?;
    let (id, verb) = rest.split_once('/').unwrap_or((rest, ""));
    (is_id(id) && !(verb.is_empty() && rest.contains('/'))).then_some((id, verb))
}

fn is_id(id: &str) -> bool {
    let is_name = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    (1..=ID_MAX).contains(&id.len()) && id.bytes().all(is_name)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn only_the_batch_apis_own_paths_are_found_and_none_that_climbs() {
        for path in [
            "/v1/batches/",
            "/openai/v1/files/f",
            "/openai/v1/batches/b/cancel",
            "/v1/messages/batches/b",
            "/v1/batch/jobs",
            "/v1/batch/jobs/9f1c-2/cancel",
            "/v1beta/models/gemini-2.5-flash:batchGenerateContent",
            "/v1beta/batches",
            "/v1beta/batches/b1",
            "/v1beta/batches/b1:cancel",
        ] {
            assert!(Place::of(path).is_some(), "{path}");
        }
        for path in [
            "/v1/batches/b/results",
            "/v1/batches/b/x",
            "/v1/batches//cancel",
            "/v1/files/../batches",
            "/v1/files/a%2Fb",
            "/v1/filesx",
            "/v1/batchesx",
            "/v1/messages/batches/b/results/x",
            "/v1/messages/batchesx",
            "/v1/batch/jobsx",
            "/v1/batch/jobs/b/results",
            "/v1beta/models/g:asyncBatchEmbedContent",
            "/v1beta/models/g/h:batchGenerateContent",
            "/v1beta/models/:batchGenerateContent",
            "/v1beta/batches/b1:delete",
            "/v1beta/batches/..",
            "/v1beta/batchesx",
            "/v1beta/files/f:download",
        ] {
            assert_eq!(Place::of(path), None, "{path}");
        }
    }
}
