//! The scanner keeps what it should, wherever it is cut.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

use proptest::prelude::*;

use super::{Node, Plan, Scanner};

fn plan() -> Plan {
    Plan::new(["usage/**", "model", "choices/finish_reason", "data/b64_json?", "response/usage/**"])
}

/// What is kept of a text, cut into pieces of `cut` bytes, and whether it was whole.
fn kept(text: &[u8], cut: usize) -> (Vec<Node>, bool) {
    let (plan, mut scanner, mut seen) = (plan(), Scanner::default(), Vec::new());
    for piece in text.chunks(cut) {
        scanner.feed(&plan, piece, &mut |node| seen.push(node.clone()));
    }
    let whole = scanner.is_whole();
    scanner.end(&mut |node| seen.push(node.clone()));
    (seen, whole)
}

fn number(node: &Node, path: &str) -> Option<String> {
    match node.at(path)? {
        Node::Number(text) => Some(text.to_string()),
        _ => None,
    }
}

#[test]
fn only_what_is_asked_for_is_kept() {
    let text = br#" {"id":"x","model":"m\u00e9\ud83d\ude00","choices":[{"message":{"content":"{\"usage\":{\"a\":1}}","usage":{"a":2}},
        "finish_reason":"stop"},{"finish_reason":null}],"data":[{"b64_json":"AAAA","usage":{"a":3}}],
        "\u0075sage" : {"a":4.50,"b":{"c":[1,{"d":null}]},"e":true} } "#;
    for cut in 1..text.len() {
        let (seen, whole) = kept(text, cut);
        assert!(whole, "cut {cut}");
        let [root] = seen.as_slice() else { panic!("one value: {seen:?}") };
        assert_eq!(root.text("model"), Some("mé😀"));
        assert_eq!(number(root, "usage/a").as_deref(), Some("4.50"));
        assert_eq!(root.at("usage/e"), Some(&Node::Bool(true)));
        assert_eq!(root.list("usage/b/c").len(), 2);
        assert_eq!(root.list("choices").len(), 2);
        assert!(root.list("choices").iter().all(|choice| choice.get("message").is_none()));
        assert_eq!(root.list("data"), [Node::Object(vec![("b64_json".into(), Node::Opaque)])]);
        assert_eq!(root.get("id"), None);
    }
}

#[test]
fn a_list_at_the_root_is_read_item_by_item_and_texts_may_follow_each_other() {
    for text in
        [&b"[{\"model\":\"a\"},\n{\"model\":\"b\"}]"[..], b"{\"model\":\"a\"}\n{\"model\":\"b\"}"]
    {
        let (seen, whole) = kept(text, 3);
        let models: Vec<_> = seen.iter().filter_map(|node| node.text("model")).collect();
        assert_eq!((models, whole), (vec!["a", "b"], true));
    }
    assert!(!kept(b"[{\"model\":\"a\"},", 3).1);
}

#[test]
fn what_is_cut_off_is_not_whole_and_a_usage_cut_in_two_is_not_believed() {
    let text = br#"{"usage":{"a":1},"response":{"usage":{"a":57}}}"#;
    for end in 1..text.len() {
        let (seen, whole) = kept(&text[..end], 5);
        assert!(!whole);
        let inner = seen.first().and_then(|root| root.at("response/usage"));
        assert_eq!(inner.is_some(), end >= 45, "cut at {end}: {seen:?}");
    }
    for text in ["", "  ", "<html>", "{\"a\"}", "{\"a\":}", "{1:2}", "{\"model\":\"x\"]", "}"] {
        assert!(!kept(text.as_bytes(), 2).1, "{text}");
    }
    assert!(kept(b"{\"model\":\"m\"} and more", 2).1, "what follows is not ours to judge");
}

#[test]
fn a_key_given_twice_is_noticed_and_the_last_value_stands() {
    let mut scanner = Scanner::default();
    let mut seen = Vec::new();
    let text = br#"{"usage":{"a":1},"usage":{"a":2}}"#;
    scanner.feed(&plan(), text, &mut |node| seen.push(node.clone()));
    assert!(scanner.saw_twice());
    assert_eq!(number(&seen[0], "usage/a").as_deref(), Some("2"));
}

#[test]
fn memory_stays_bounded_whatever_comes() {
    let deep = "{\"usage\":".repeat(100_000);
    let wide = format!("{{\"usage\":[{}1]}}", "{\"a\":1},".repeat(100_000));
    let long = format!(
        "{{\"model\":\"{}\",\"usage\":{{\"a\":{}}}}}",
        "x".repeat(1 << 20),
        "9".repeat(1 << 16)
    );
    for text in [deep, wide, long] {
        let (plan, mut scanner) = (plan(), Scanner::default());
        let mut kept_bytes = 0;
        scanner.feed(&plan, text.as_bytes(), &mut |node| kept_bytes += format!("{node:?}").len());
        scanner.end(&mut |node| kept_bytes += format!("{node:?}").len());
        assert!(kept_bytes < 1 << 20, "{kept_bytes}");
    }
}

/// A JSON text of any shape, with decoys.
fn json() -> impl Strategy<Value = serde_json::Value> {
    let key = prop::sample::select(vec!["usage", "model", "a", "choices", "response", "ü\"\\"]);
    let leaf = prop_oneof![
        Just(serde_json::Value::Null),
        any::<i32>().prop_map(Into::into),
        "[a-z\"\\\\{}:,é]{0,12}".prop_map(Into::into),
        Just("\"usage\":{\"a\":1}".into()),
    ];
    leaf.prop_recursive(4, 40, 5, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Into::into),
            prop::collection::hash_map(key.clone(), inner, 0..5).prop_map(|map| map
                .into_iter()
                .map(|(k, v)| (k.to_owned(), v))
                .collect::<serde_json::Map<_, _>>()
                .into()),
        ]
    })
}

/// A kept tree as serde_json would hold it.
fn value(node: &Node) -> serde_json::Value {
    match node {
        Node::Null | Node::Opaque => serde_json::Value::Null,
        Node::Bool(is) => (*is).into(),
        Node::Number(text) => serde_json::from_str(text).unwrap(),
        Node::Text(text) => (&**text).into(),
        Node::List(items) => items.iter().map(value).collect(),
        Node::Object(fields) => fields
            .iter()
            .map(|(k, v)| (k.to_string(), value(v)))
            .collect::<serde_json::Map<_, _>>()
            .into(),
    }
}

proptest! {
    #[test]
    fn what_is_kept_whole_is_what_a_whole_parser_reads(inner in json(), cut in 1_usize..9) {
        let text = serde_json::json!({"x": inner.clone(), "usage": inner.clone(), "y": [inner.clone()]}).to_string();
        let (seen, whole) = kept(text.as_bytes(), cut);
        prop_assert!(whole, "{text}");
        // An object inside `usage` is kept all of it.
        let root = seen.first().unwrap();
        let got = root.fields().iter().find(|(name, _)| **name == *"usage").map(|(_, node)| value(node));
        prop_assert_eq!(got, Some(inner));
        prop_assert_eq!(root.fields().len(), 1);
    }

    #[test]
    fn any_bytes_at_all_are_survived_the_same_however_they_are_cut(bytes in prop::collection::vec(any::<u8>(), 0..200), cut in 1_usize..9) {
        prop_assert_eq!(kept(&bytes, cut), kept(&bytes, usize::MAX));
    }

    #[test]
    fn almost_json_is_survived_the_same_however_it_is_cut(text in "[\\[\\]{}\",:\\\\ 1eu0a\n]{0,80}", cut in 1_usize..9) {
        prop_assert_eq!(kept(text.as_bytes(), cut), kept(text.as_bytes(), usize::MAX));
    }
}
