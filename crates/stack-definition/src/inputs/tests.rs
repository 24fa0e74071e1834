use std::time::{Duration, Instant};

use serde_json::json;

use super::{evaluate::Exceeded, *};

fn with_inputs(inputs: Option<Value>) -> StackDefinition {
    let mut definition = json!({
        "schemaVersion": 1, "displayName": "A shop", "features": [],
        "resources": { "d1": false, "r2": false, "kv": false, "queue": false },
    });
    if let Some(inputs) = inputs {
        definition["inputs"] = inputs;
    }
    StackDefinition::read(&definition).unwrap()
}

fn paths(definition: &StackDefinition, values: &Value) -> Vec<String> {
    let faults = check_inputs(definition, values).err().unwrap_or_default();
    faults.into_iter().map(|fault| fault.path).collect()
}

fn check_value(schema: &Value, value: &Value) -> Result<Vec<Fault>, Exceeded> {
    evaluate::check(&Graph::build(schema).unwrap(), value, Budget::default())
}

#[test]
fn all_faults_are_reported_at_once() {
    let definition = with_inputs(Some(json!({
        "type": "object",
        "properties": {
            "currency": { "type": "string", "pattern": "^[A-Z]{3}$", "default": "EUR" },
            "mail": { "type": "object", "properties": { "a/b": { "type": "integer", "minimum": 1 } } },
            "title": { "type": "string", "minLength": 1 },
        },
        "required": ["title"],
        "additionalProperties": false,
    })));
    assert_eq!(paths(&definition, &json!({ "title": "T" })), [""; 0]);
    let wrong = json!({ "currency": "euro", "mail": { "a/b": 0 }, "colour": "red" });
    assert_eq!(paths(&definition, &wrong), ["/colour", "/currency", "/mail/a~1b", "/title"]);
    assert_eq!(paths(&definition, &json!([])), [""]);
    // A value may be a secret, so no message repeats it.
    let faults = check_inputs(&definition, &json!({ "title": "T", "currency": "hunter2" })).unwrap_err();
    assert!(!faults[0].message.contains("hunter2"), "{faults:?}");
}

#[test]
fn definition_without_inputs_accepts_no_field() {
    let definition = with_inputs(None);
    assert_eq!(paths(&definition, &json!({})), [""; 0]);
    assert_eq!(paths(&definition, &json!({ "a/b": 1 })), ["/a~1b"]);
}

#[test]
fn defaults_are_not_applied() {
    let definition = with_inputs(Some(json!({
        "properties": { "plan": { "default": "small" } }, "required": ["plan"],
    })));
    assert_eq!(paths(&definition, &json!({})), ["/plan"]);
}

/// Schemas with every keyword that applies subschemas, and with some that do not.
fn schemas() -> Vec<Value> {
    let small = [
        json!(true),
        json!(false),
        json!({}),
        json!({ "type": "string" }),
        json!({ "type": ["integer", "null"], "minimum": 2 }),
        json!({ "const": { "a": 1 } }),
        json!({ "enum": [1, "a", [1, 1]] }),
        json!({ "properties": { "a": { "type": "integer" } }, "required": ["a"] }),
        json!({ "properties": { "a": true }, "additionalProperties": false }),
        json!({ "patternProperties": { "^a": { "type": "integer" } }, "additionalProperties": { "type": "string" } }),
        json!({ "propertyNames": { "maxLength": 1, "pattern": "^[a-z]$" } }),
        json!({ "prefixItems": [{ "type": "integer" }], "items": { "type": "string" } }),
        json!({ "items": { "type": "integer" }, "uniqueItems": true }),
        json!({ "prefixItems": [true, true], "items": false }),
        json!({ "contains": { "type": "integer" } }),
        json!({ "contains": { "type": "integer" }, "minContains": 2, "maxContains": 3.0 }),
        json!({ "contains": { "type": "integer" }, "minContains": 0, "maxContains": 1 }),
        json!({ "dependentSchemas": { "a": { "required": ["b"] } }, "dependentRequired": { "c": ["a"] } }),
        json!({ "maxProperties": 1, "minItems": 1, "multipleOf": 0.5 }),
        json!({ "$ref": "#/$defs/tree", "$defs": { "tree": {
            "type": "object", "properties": { "a": { "$ref": "#/$defs/tree" } }, "required": [] } } }),
        json!({ "$defs": { "x~/y%": { "$anchor": "here", "type": "string" } }, "anyOf": [
            { "$ref": "#/$defs/x~0~1y%25" }, { "items": { "$ref": "#here" } }] }),
    ];
    let mut all = small.to_vec();
    // References start at the root, so schemas with references cannot be nested into other schemas.
    let inner = || small.iter().filter(|schema| !schema.to_string().contains("$ref"));
    for (a, b) in inner().flat_map(|a| inner().map(move |b| (a, b))) {
        all.push(json!({ "anyOf": [a, b] }));
        all.push(json!({ "oneOf": [a, b, { "type": "boolean" }] }));
        all.push(json!({ "allOf": [a, b] }));
        all.push(json!({ "if": a, "then": b, "else": { "type": "object" } }));
        all.push(json!({ "not": { "allOf": [a, b] } }));
        all.push(
            json!({ "properties": { "a": a }, "additionalProperties": b, "items": { "anyOf": [a, b] } }),
        );
    }
    all
}

#[test]
fn validation_agrees_with_the_jsonschema_crate() {
    let values = json!([
        null, true, 0, 2, 2.0, 2.5, "", "a", "ab", [], [1], [1, 1], [1, 1, "a"], ["a", 1], [1, 2, 3, 4], [[1, 1]],
        {}, {"a": 1}, {"a": "x"}, {"a": 1, "b": "y"}, {"b": 2}, {"c": 1}, {"ab": 1}, {"ab": "x", "B": "y"},
        {"a": {"a": {"a": 1}}}, {"a": {"a": {}}}, {"a": [1, "a"], "b": {"a": null}}
    ]);
    let mut compared = 0;
    for schema in schemas() {
        let theirs = jsonschema::draft202012::new(&schema).unwrap();
        for value in values.as_array().unwrap() {
            let ours = check_value(&schema, value).unwrap();
            assert_eq!(ours.is_empty(), theirs.is_valid(value), "{schema} {value} {ours:?}");
            compared += 1;
        }
    }
    assert!(compared > 50_000, "{compared}");
}

/// Recursive filter with overlapping alternatives.
fn filter() -> Value {
    let child = json!({ "$ref": "#/$defs/node" });
    json!({
        "$defs": { "node": { "anyOf": [
            { "type": "object", "properties": { "child": child }, "required": ["child"] },
            { "type": "object", "properties": { "child": child, "x": { "type": "string" } }, "required": ["child"] },
            { "type": "string" },
        ] } },
        "properties": { "filter": child },
    })
}

#[test]
fn overlapping_alternatives_do_not_multiply_the_cost() {
    let nested = |leaf: Value| (0..60).fold(leaf, |inner, _| json!({ "child": inner }));
    let begun = Instant::now();
    assert_eq!(paths(&with_inputs(Some(filter())), &json!({ "filter": nested(json!("leaf")) })), [""; 0]);
    let faults = paths(&with_inputs(Some(filter())), &json!({ "filter": nested(json!(1)) }));
    assert_eq!(faults, ["/filter"]);
    let mut layers = json!({ "l15": { "type": "string" } });
    for layer in 0..15 {
        layers[format!("l{layer}")] =
            json!({ "anyOf": vec![json!({ "$ref": format!("#/$defs/l{}", layer + 1) }); 8] });
    }
    let first = json!({ "$ref": "#/$defs/l0" });
    let layered = json!({ "$defs": layers, "propertyNames": first, "additionalProperties": first });
    assert_eq!(paths(&with_inputs(Some(layered)), &json!({ "a": 1 })), ["/a"]);
    assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
}

#[test]
fn schema_beyond_the_limits_is_rejected() {
    let deep = (0..40).fold(json!({}), |inner, _| json!({ "items": inner }));
    let mut chain: Vec<Value> =
        (0..40).map(|n| json!({ "$ref": format!("#/prefixItems/{}", n + 1) })).collect();
    chain.push(json!(true));
    for (schema, path) in [
        (json!({ "description": "x".repeat(70_000) }), ""),
        (json!({ "prefixItems": vec![true; 1001] }), ""),
        (json!({ "prefixItems": chain }), "/prefixItems/0"),
        (json!({ "$ref": "#" }), ""),
        (json!({ "items": { "anyOf": [{ "type": "string" }, { "$ref": "#/items" }] } }), "/items"),
        (
            json!({ "$defs": { "a": { "not": { "$ref": "#/$defs/b" } }, "b": { "$ref": "#/$defs/a" } } }),
            "/$defs/a",
        ),
        (json!({ "$dynamicRef": "#a" }), "/$dynamicRef"),
        (json!({ "unevaluatedProperties": false }), "/unevaluatedProperties"),
        (json!({ "items": { "$id": "https://a.example" } }), "/items/$id"),
        (json!({ "pattern": "a".repeat(1025) }), ""),
        (json!({ "pattern": "((a{100}){100}){100}" }), "/pattern"),
        (json!({ "patternProperties": { "(": true } }), "/patternProperties/("),
    ] {
        let faults: Vec<_> = faults_of_schema(&schema).into_iter().map(|fault| fault.path).collect();
        // The fault may be at any member of a cycle.
        let is_cycle = faults[0].starts_with("/$defs/") && path.starts_with("/$defs/");
        assert!(faults == [path] || is_cycle, "{faults:?} {path}");
    }
    assert!(faults_of_schema(&deep)[0].message.contains("nested"), "{:?}", faults_of_schema(&deep));
    let large = json!({ "pattern": r"^(\p{L}{1,20})$" });
    assert_eq!(faults_of_schema(&large), []);
    let many = json!({ "prefixItems": vec![large; 10] });
    assert!(faults_of_schema(&many)[0].message.contains("patterns"), "{:?}", faults_of_schema(&many));
}

#[test]
fn values_beyond_the_limits_are_rejected() {
    let deep = |depth: usize| (0..depth).fold(json!(1), |inner, _| json!([inner]));
    let exceeded = |schema: Value, value: Value| check_value(&schema, &value).unwrap_err();
    assert_eq!(exceeded(json!({}), json!("x".repeat(300_000))), Exceeded::Bytes);
    assert_eq!(exceeded(json!({}), json!(vec![1; 30_000])), Exceeded::Values);
    assert_eq!(exceeded(json!({}), deep(65)), Exceeded::Depth);
    let mut alternatives = vec![json!({ "type": "object" }); 900];
    alternatives.push(json!({ "type": ["integer", "array"] }));
    let everywhere = json!({ "items": { "$ref": "#" }, "anyOf": alternatives });
    let begun = Instant::now();
    assert_eq!(exceeded(everywhere, json!([vec![1; 19_000]])), Exceeded::Cost);
    let slow = json!({ "items": { "pattern": r"^(\p{L}{1,20})$" } });
    assert_eq!(exceeded(slow, json!(vec!["ä".repeat(500); 200])), Exceeded::Cost);
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
}

// The stack of a test's thread has the size of a worker's.
#[test]
fn the_deepest_recursion_fits_the_stack() {
    let mut layers = json!({});
    for layer in 0..10 {
        layers[format!("l{layer}")] = json!({ "anyOf": [{ "$ref": format!("#/$defs/l{}", layer + 1) }] });
    }
    layers["l10"] = json!({ "items": { "$ref": "#/$defs/l0" } });
    let schema = json!({ "$defs": layers, "$ref": "#/$defs/l0" });
    let value = (0..60).fold(json!(1), |inner, _| json!([inner]));
    assert_eq!(check_value(&schema, &value).unwrap_err(), Exceeded::Cost);
    let value = (0..20).fold(json!(1), |inner, _| json!([inner]));
    assert_eq!(check_value(&schema, &value).unwrap(), []);
}

#[test]
fn current_limits_apply_to_schemas_published_before() {
    let text = json!({
        "schemaVersion": 1, "displayName": "A shop", "features": [],
        "resources": { "d1": false, "r2": false, "kv": false, "queue": false },
        "inputs": { "anyOf": [{ "type": "object" }, { "$ref": "#" }] },
    });
    let definition = StackDefinition::from_published(&text.to_string()).unwrap();
    let faults = check_inputs(&definition, &json!({})).unwrap_err();
    assert!(faults[0].path.is_empty() && faults[0].message.contains("cannot be checked"), "{faults:?}");
}
