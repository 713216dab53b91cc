//! The request for a session: a query and no body. What is said in it comes later, frame by frame.

use super::{BadRequest, bad};

/// What a session's query may hold beside its model: nothing that names a model, or that makes the
/// session one whose turns do not report what they used.
const HARMLESS: [&str; 4] = ["api-version", "key", "api_key", "access_token"];

/// Refuses a query that the upstream could read as a request for another model than is priced here.
pub(super) fn check_query(query: &str) -> Result<(), BadRequest> {
    let mut models = 0_usize;
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        match pair.split_once('=').map_or(pair, |(name, _)| name) {
            "model" => models = models.saturating_add(1),
            name if HARMLESS.contains(&name) => {}
            _ => {
                return bad(
                    None,
                    "A realtime session takes `model` in its query and nothing else.",
                );
            }
        }
    }
    if models > 1 {
        return bad("model", "The query names the model more than once.");
    }
    Ok(())
}
