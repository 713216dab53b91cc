//! An answer shortened to what is left.

use crate::money::Exact;
use crate::quote::{Quote, Unpriced};
use crate::wire::request::{Ask, least_length, thinking_budget, with_length};

/// A request that fits now.
#[derive(Debug)]
pub struct Clamped {
    /// As it is asked now.
    pub ask: Ask,
    /// Its price.
    pub quote: Quote,
    /// Its body: the client's, but for the length.
    pub body: Vec<u8>,
    /// Output tokens of each answer.
    pub length: u64,
}

/// How often a length is priced: once is enough unless another card becomes the dearest with it.
const TRIES: usize = 3;

/// Shortens the answers of `ask` to what `budget` buys; `None` where that is less than `at_least`,
/// than the API takes, or than the request's thinking budget and one, and where nothing was gained.
///
/// `quote` is its price as asked; `price` prices it otherwise. `newer`: the upstream knows chat's
/// newer name of the length.
pub fn clamp(
    (ask, quote): (&Ask, &Quote),
    body: &[u8],
    price: impl Fn(&Ask) -> Result<Quote, Unpriced>,
    budget: Exact,
    at_least: u64,
    newer: bool,
) -> Option<Clamped> {
    if !ask.has_output || ask.free {
        return None;
    }
    let with = |length| Ask { max_output: Some(length), max_output_is_newer: false, ..ask.clone() };
    let choices = ask.choices.max(1);
    // What features may write beside the answer is not the client's to bound.
    let one = price(&with(1)).ok()?;
    let beside = one.output_tokens.upper.minus(Exact::from(choices)).ok()?;
    let least = at_least.max(least_length(ask.endpoint));
    let least = least.max(thinking_budget(body).saturating_add(1));
    let mut dearest = quote.clone();
    let mut length = u64::MAX;
    for _ in 0..TRIES {
        let affordable = dearest.affordable_output(budget)?.minus(beside).ok()?;
        let each = affordable.whole_times(Exact::from(choices)).ok()?;
        // A negative one is no number of tokens.
        length = each.to_u64()?.min(length.saturating_sub(1));
        if length < least {
            return None;
        }
        let ask = with(length);
        let quote = price(&ask).ok()?;
        if quote.upper <= budget {
            let body = with_length(body, ask.endpoint, length, newer)?;
            return Some(Clamped { ask, quote, body, length });
        }
        dearest = quote;
    }
    None
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::arithmetic_side_effects)]
    use super::*;
    use crate::book::{Book, DEFAULT};
    use crate::quote::quote;
    use crate::wire::request::{Request, inspect};
    use crate::wire::route::Route;
    use proptest::prelude::*;

    fn asked(path: &str, body: &str) -> Ask {
        let route = Route::of(path).unwrap();
        let request = Request { route, query: "", content_type: "", body: body.as_bytes() };
        inspect(&request).unwrap()
    }

    fn clamped(path: &str, body: &str, budget: &str, at_least: u64) -> Option<Clamped> {
        let book = Book::parse(DEFAULT).unwrap();
        let ask = asked(path, body);
        let whole = quote(&ask, &book, None).unwrap();
        let price = |ask: &Ask| quote(ask, &book, None);
        clamp((&ask, &whole), body.as_bytes(), price, budget.parse().unwrap(), at_least, true)
    }

    const CHAT: &str = concat!(
        r#"{"model":"gpt-4o-mini","messages":[{"role":"user","content":"hi"}],"max_tokens":90000,"#,
        r#""n":2}"#
    );

    #[test]
    fn the_length_is_the_longest_that_fits_and_no_token_more() {
        let book = Book::parse(DEFAULT).unwrap();
        let budget: Exact = "0.01".parse().unwrap();
        let clamped = clamped("/v1/chat/completions", CHAT, "0.01", 1).unwrap();
        assert!(clamped.quote.upper <= budget);
        let longer = Ask { max_output: Some(clamped.length + 1), ..clamped.ask.clone() };
        assert!(quote(&longer, &book, None).unwrap().upper > budget);
        let body = String::from_utf8(clamped.body).unwrap();
        assert_eq!(body, CHAT.replace("90000", &clamped.length.to_string()));
        assert_eq!(asked("/v1/chat/completions", &body).max_output, Some(clamped.length));
    }

    #[test]
    fn not_below_the_operators_minimum_nor_the_thinking_budget_nor_what_the_api_takes() {
        let chat = |budget, least| clamped("/v1/chat/completions", CHAT, budget, least);
        let length = chat("0.001", 1).unwrap().length;
        assert!(chat("0.001", length).is_some());
        assert!(chat("0.001", length + 1).is_none());
        assert!(chat("0", 1).is_none());
        assert!(chat("-5", 1).is_none());
        let thinking = |budget: &str, tokens: u64| {
            let thinking = format!(r#"{{"type":"enabled","budget_tokens":{tokens}}}"#);
            let (model, hi) = ("claude-haiku-4-5", r#"[{"role":"user","content":"hi"}]"#);
            let body = format!(
                r#"{{"model":"{model}","max_tokens":60000,"messages":{hi},"thinking":{thinking}}}"#
            );
            clamped("/v1/messages", &body, budget, 1).map(|clamped| clamped.length)
        };
        let length = thinking("0.02", 1024).unwrap();
        assert_eq!(thinking("0.02", length), None);
        assert!(thinking("0.02", length - 2).is_some());
    }

    proptest! {
        #[test]
        fn what_is_clamped_fits(cents in 0_u64..300, most in 1_u64..200_000, n in 1_u64..5) {
            let budget = Exact::from(cents).over(Exact::from(10_000)).unwrap();
            let (most, n) = (format!(":{most},"), format!(":{n}}}"));
            let body = CHAT.replace(":90000,", &most).replace(":2}", &n);
            if let Some(clamped) = clamped("/v1/chat/completions", &body, &budget.to_string(), 1) {
                prop_assert!(clamped.quote.upper <= budget && clamped.length >= 1);
            }
        }
    }
}
