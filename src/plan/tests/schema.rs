//! The published schema and the reader know the same fields.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::plan::{Plan, SCHEMA, json_schema};
use crate::strict::FAULTS_MAX;

/// A plan with one of everything, and a cell for each charge model.
const WHOLE: &str = r#"{"format":"farebox-plan-1","plan":"p","version":"1","name":"P","currency":"USD","rules":{},
"fees":[{"id":"fee","amount":"1"}],
"charges":[{"id":"one","meter":"calls","charge":{"model":"flat","amount":"1"}},
 {"id":"many","meter":"m","cells":[
  {"where":{"n":"0"},"charge":{"model":"flat","amount":"1"}},
  {"where":{"n":"1"},"charge":{"model":"per_unit","unit_price":"1"}},
  {"where":{"n":"2"},"charge":{"model":"graduated","tiers":[{"up_to":null,"unit_price":"1"}]}},
  {"where":{"n":"3"},"charge":{"model":"volume","tiers":[{"up_to":null,"unit_price":"1"}]}},
  {"where":{"n":"4"},"charge":{"model":"package","package_size":"1","price_per_package":"1"}},
  {"where":{"n":"5"},"charge":{"model":"graduated_percentage","tiers":[{"up_to":null,"rate_percent":"1"}]}},
  {"where":{"n":"6"},"charge":{"model":"graduated_package","tiers":[{"block_size":"1","price_per_block":"1"}]}},
  {"where":{"n":"7"},"charge":{"model":"volume_package","tiers":[{"block_size":"1","price_per_block":"1"}]}}]},
 {"id":"amounts","meter":"a","cells":[{"where":{"n":"8"},"charge":{"model":"percentage","rate_percent":"1"}},
  {"where":{"n":"9"},"charge":{"model":"cost_plus","multiplier":"1"}}]},
 {"id":"won","meter":"o","outcome":{"pending_hours":"1","silence":"confirmed","dispute_hours":"1"},"charge":{"model":"per_unit","unit_price":"1"}}],
"allowances":[{"id":"free","meter":"m","quantity":"1"}],"credit":{"name":"C"},
"grants":[{"id":"given","amount":"1","source":"paid"}],"limits":[{"id":"most","meter":"m","most":"1","hard":true}],
"commitments":[{"id":"term","amount":"1","kind":"minimum"}],"discounts":[{"id":"less","percent":"1"}]}"#;

#[test]
fn the_published_schema_is_the_one_the_code_makes() {
    let schema = json_schema::schema();
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write("books/plan-schema.json", &schema).unwrap();
    } else {
        assert_eq!(schema, SCHEMA, "run with UPDATE_GOLDEN=1 and look at the difference");
    }
}

/// The schema of an object in the plan, through references and the variant that its `model` names.
fn resolved<'s>(root: &'s Value, mut schema: &'s Value, value: &Value) -> &'s Value {
    if let Some(target) = schema["$ref"].as_str() {
        schema = root.pointer(target.trim_start_matches('#')).unwrap();
    }
    let variants =
        schema["oneOf"].as_array().filter(|all| all[0]["properties"].get("model").is_some());
    let fits = |each: &&Value| each["properties"]["model"]["const"] == value["model"];
    variants.map_or(schema, |all| all.iter().find(fits).unwrap())
}

/// Every object of the plan that has a schema with fields: its place, and that schema.
fn objects(
    root: &Value,
    schema: &Value,
    value: &Value,
    at: &str,
    found: &mut Vec<(String, Value)>,
) {
    let schema = resolved(root, schema, value);
    match value {
        Value::Array(items) => {
            for (nth, item) in items.iter().enumerate() {
                objects(root, &schema["items"], item, &format!("{at}/{nth}"), found);
            }
        }
        Value::Object(fields) if schema.get("properties").is_some() => {
            found.push((at.to_owned(), schema.clone()));
            for (name, value) in fields {
                let inside = &schema["properties"][name];
                assert!(!inside.is_null(), "{at}/{name} is not in the schema");
                objects(root, inside, value, &format!("{at}/{name}"), found);
            }
        }
        _ => {}
    }
}

/// Every word in the reader's source that could be a field.
fn words() -> BTreeSet<String> {
    let folders =
        ["src/plan", "src/rating/charge"].map(|folder| std::fs::read_dir(folder).unwrap());
    let files = folders.into_iter().flatten().map(|file| file.unwrap().path());
    let text: Vec<String> = files.filter_map(|file| std::fs::read_to_string(file).ok()).collect();
    let all = text.iter().flat_map(|text| text.split('"'));
    let is_name = |word: &&str| {
        !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_')
    };
    all.filter(is_name).map(str::to_owned).collect()
}

/// Where a plan has faults of one code.
fn faults(plan: &Value, code: &str) -> Vec<String> {
    let faults = Plan::parse(&plan.to_string()).err();
    let faults = faults.as_ref().map_or(&[][..], |faults| faults.list());
    let pointer = |path: &str| path.replace('[', "/").replace(']', "").replace('.', "/");
    let of_code = faults.iter().filter(|fault| fault.code == code);
    of_code.map(|fault| format!("/{}", pointer(&fault.path))).collect()
}

/// What a cell has, or a charge without cells.
const CELLS: [&str; 3] = ["where", "charge", "cost"];

#[test]
fn the_reader_takes_exactly_the_fields_of_the_schema_and_needs_those_it_says() {
    let root: Value = serde_json::from_str(SCHEMA).unwrap();
    let plan: Value = serde_json::from_str(WHOLE).unwrap();
    assert!(Plan::parse(WHOLE).is_ok(), "{:?}", Plan::parse(WHOLE));
    let mut found = Vec::new();
    objects(&root, &root, &plan, "", &mut found);
    let words = words();
    assert!(words.contains("rollover_cap") && found.len() > 25);
    for (at, schema) in found {
        let value = plan.pointer(&at).unwrap();
        let fields = value.as_object().unwrap();
        // Cells in the place of a charge would make its other fields theirs.
        let addable = |word: &&String| {
            !fields.contains_key(*word) && (*word != "cells" || !fields.contains_key("charge"))
        };
        let words: Vec<&String> = words.iter().filter(addable).collect();
        for some in words.chunks(FAULTS_MAX / 2) {
            let mut other = plan.clone();
            let fields = other.pointer_mut(&at).unwrap().as_object_mut().unwrap();
            fields.extend(some.iter().map(|word| ((*word).clone(), json!(["no value of this"]))));
            let unknown = faults(&other, "unknown_field");
            for word in some {
                // Where there are cells, these are theirs.
                let in_cells = value.get("cells").is_some() && CELLS.contains(&word.as_str());
                let known = schema["properties"].get(*word).is_some() && !in_cells;
                let path = format!("{at}/{word}");
                assert_eq!(unknown.contains(&path), !known, "{path}");
            }
        }
        let required = schema["required"].as_array().cloned().unwrap_or_default();
        for name in schema["properties"].as_object().unwrap().keys() {
            let mut other = plan.clone();
            other.pointer_mut(&at).unwrap().as_object_mut().unwrap().remove(name);
            let missing = faults(&other, "missing_field").contains(&format!("{at}/{name}"));
            let needed = required.contains(&json!(name));
            // A charge may have cells instead, a tier its fee alone, a discount one of three.
            let either = ["charge", "unit_price", "rate_percent"].contains(&name.as_str());
            assert!(missing == needed || either, "{at}/{name}: needed {needed}, missing {missing}");
        }
    }
}

#[test]
fn every_example_is_of_the_schema() {
    let root: Value = serde_json::from_str(SCHEMA).unwrap();
    for file in std::fs::read_dir("examples/plans").unwrap() {
        let path = file.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "json") {
            let plan: Value =
                serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
            objects(&root, &root, &plan, "", &mut Vec::new());
        }
    }
}
