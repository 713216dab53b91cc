#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::type_complexity)]
use super::*;

fn with(change: impl Fn(&mut serde_json::Value)) -> Result<Book, BookError> {
    let mut json: serde_json::Value = serde_json::from_str(DEFAULT).unwrap();
    change(&mut json);
    Book::parse(&json.to_string())
}

#[test]
fn the_built_in_catalogue_is_a_valid_book() {
    let book = Book::parse(DEFAULT).unwrap();
    let rate = book.find(None, "gpt-4o-mini-2024-07-18").unwrap().rates.get(Meter::CacheRead);
    assert_eq!(rate.unwrap().amount, "0.075".parse().unwrap());
}

#[test]
fn a_book_that_cannot_be_meant_is_refused_and_says_where() {
    let wrong: [(&str, Box<dyn Fn(&mut serde_json::Value)>); 7] = [
        ("format", Box::new(|b| b["format"] = "x".into())),
        ("currency", Box::new(|b| b["currency"] = "dollars".into())),
        ("models", Box::new(|b| b["models"] = serde_json::json!([]))),
        (
            "negative",
            Box::new(|b| {
                b["models"][0]["rates"]["cache_read"]["amount"] = "-1".into();
            }),
        ),
        ("`per`", Box::new(|b| b["models"][0]["rates"]["cache_read"]["per"] = "0".into())),
        ("exact price", Box::new(|b| b["models"][0]["rates"]["cache_read"]["per"] = "7".into())),
        ("twice", Box::new(|b| b["models"][1]["aliases"] = serde_json::json!(["gpt-4o-mini"]))),
    ];
    for (hint, change) in wrong {
        let message = with(change).unwrap_err().to_string();
        assert!(message.contains(hint), "{hint}: {message}");
    }
}

#[test]
fn a_misspelt_field_or_a_number_for_money_is_refused() {
    assert!(with(|b| b["models"][0]["rate"] = serde_json::json!({})).is_err());
    assert!(with(|b| b["models"][0]["rates"]["cached"] = serde_json::json!({})).is_err());
    assert!(with(|b| b["models"][0]["rates"]["cache_read"]["amount"] = 0.5.into()).is_err());
}

#[test]
fn a_name_two_providers_share_needs_the_provider() {
    let book = with(|b| b["models"][8]["aliases"] = serde_json::json!(["gpt-4o"])).unwrap();
    assert!(book.find(None, "gpt-4o").is_none());
    assert_eq!(book.find(Some("openai"), "gpt-4o").unwrap().model, "gpt-4o");
}

#[test]
fn a_customers_projection_shows_no_costs() {
    let book = with(|b| b["models"][0]["cost"] = b["models"][0]["rates"].clone()).unwrap();
    assert!(!serde_json::to_string(&book.projection()).unwrap().contains("\"cost\""));
}
