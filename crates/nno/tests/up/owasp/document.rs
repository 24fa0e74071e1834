//! The OpenAPI document of a running gateway.

use serde_json::{Map, Value};
use testkit::document::operations;

use crate::system::Up;

/// An operation of the document.
pub(crate) struct Operation {
    pub(crate) id: String,
    pub(crate) method: String,
    /// Path template such as `/platforms/{platformId}`.
    pub(crate) path: String,
    /// Schema of the request body, if there is one.
    pub(crate) body: Option<Value>,
    /// Schema of the successful response, if there is one.
    pub(crate) response: Option<Value>,
}

pub(crate) struct Document(Value);

impl Document {
    pub(crate) async fn of(up: &Up) -> Self {
        Self(up.get("/openapi.json").await)
    }

    pub(crate) fn operations(&self) -> Vec<Operation> {
        let read = |(method, path): (String, String)| {
            let operation = &self.0["paths"][&path][&method];
            let schema = |content: &Value| Some(content["content"]["application/json"]["schema"].clone());
            let responses = operation["responses"].as_object().unwrap();
            let success = responses.iter().find(|(status, _)| status.starts_with('2'));
            Operation {
                id: operation["operationId"].as_str().unwrap().to_owned(),
                body: operation.get("requestBody").and_then(schema).filter(|schema| !schema.is_null()),
                response: success
                    .and_then(|(_, response)| schema(response))
                    .filter(|schema| !schema.is_null()),
                method: method.to_uppercase(),
                path,
            }
        };
        operations(&self.0).into_iter().map(read).collect()
    }

    /// Resolves references and merges alternatives.
    pub(crate) fn resolve(&self, schema: &Value) -> Map<String, Value> {
        let mut all = schema.as_object().cloned().unwrap_or_default();
        if let Some(at) = schema["$ref"].as_str() {
            let found = self.0.pointer(at.trim_start_matches('#')).unwrap_or_else(|| panic!("{at}"));
            all.extend(self.resolve(found));
        }
        for part in ["oneOf", "anyOf", "allOf"].iter().filter_map(|word| schema[word].as_array()).flatten() {
            let mut part = self.resolve(part);
            if let (Some(Value::Object(known)), Some(Value::Object(more))) =
                (all.get_mut("properties"), part.get_mut("properties"))
            {
                known.append(more);
                part.remove("properties");
            }
            all.extend(part.into_iter().filter(|(key, value)| key != "type" || value != "null"));
        }
        all
    }

    /// Returns the fields of an object schema by name, or none for other schemas and for maps.
    pub(crate) fn fields(&self, schema: &Value) -> Vec<(String, Value)> {
        let resolved = self.resolve(schema);
        let fields = resolved.get("properties").and_then(Value::as_object).cloned().unwrap_or_default();
        fields.into_iter().collect()
    }

    /// Returns the string schemas within a schema by dotted path. `*` stands for any item or name.
    pub(crate) fn texts(&self, schema: &Value) -> Vec<(String, Map<String, Value>)> {
        let resolved = self.resolve(schema);
        let under = |name: &str, schema: &Value| {
            let inner = self.texts(schema).into_iter();
            let dot = |at: String| if at.is_empty() { name.to_owned() } else { format!("{name}.{at}") };
            inner.map(|(at, schema)| (dot(at), schema)).collect::<Vec<_>>()
        };
        let mut found = Vec::new();
        if is_of(&resolved, "string") {
            found.push((String::new(), resolved.clone()));
        }
        for (name, schema) in resolved.get("properties").and_then(Value::as_object).into_iter().flatten() {
            found.extend(under(name, schema));
        }
        for every in ["items", "additionalProperties"] {
            found.extend(
                resolved.get(every).filter(|s| s.is_object()).map(|s| under("*", s)).unwrap_or_default(),
            );
        }
        found
    }
}

/// Returns true if a resolved schema accepts a type.
pub(crate) fn is_of(resolved: &Map<String, Value>, name: &str) -> bool {
    match resolved.get("type") {
        Some(Value::String(one)) => one == name,
        Some(Value::Array(many)) => many.iter().any(|one| one == name),
        _ => false,
    }
}

impl Operation {
    pub(crate) fn writes(&self) -> bool {
        self.method != "GET"
    }

    /// Returns the path with the known ids, and with well-formed ids of no object for the others.
    pub(crate) fn filled(&self, known: &[(&str, &str)]) -> String {
        let part = |part: &str| match part.strip_prefix('{').and_then(|name| name.strip_suffix('}')) {
            None => part.to_owned(),
            Some(name) => match known.iter().find(|(given, _)| *given == name) {
                Some((_, value)) => (*value).to_owned(),
                None => match name {
                    "platformId" | "entityId" | "stackId" => "aaaaaaaaaa".to_owned(),
                    "name" | "featureId" => "nothing".to_owned(),
                    "secretName" => "NOTHING".to_owned(),
                    "version" => "1.0.0".to_owned(),
                    _ => uuid::Uuid::nil().to_string(),
                },
            },
        };
        self.path.split('/').map(part).collect::<Vec<_>>().join("/")
    }
}
