//! Reads what is to be published and names every fault of it at once.
//!
//! The schema finds what is not of the right shape. The rules here find what only code can know, and they look at
//! the JSON itself: at whatever of it has the right shape, however wrong the rest may be.

use std::{
    collections::{HashMap, HashSet},
    str::FromStr,
};

use domain::{Error, Fault, Result, Slug, Version};
use kit::check::{self, escaped};
use serde_json::Value;

use super::{definition::VersionRange, model::PublishVersion};
use crate::text::{NOT_PLAIN, is_plain};

/// Where the definition stands in the body.
pub(super) const DEFINITION: &str = "/stackDefinition";
const JSON_SCHEMA: &str = "https://json-schema.org/draft/2020-12/schema";

/// Reads the body of a publish.
///
/// # Errors
/// [`domain::Kind::Validation`] with all faults: those in the definition by JSON pointer, because its names may hold
/// dots, the others by the name of the field, as everywhere.
pub(super) fn read(body: &Value) -> Result<PublishVersion> {
    let read = check::pointed::<PublishVersion>(body);
    let mut rules = Rules::default();
    for fault in read.as_ref().err().into_iter().flatten() {
        rules.add(fault.path.clone(), &fault.message);
    }
    rules.body(body);
    match read {
        Ok(read) if rules.faults.is_empty() => Ok(read),
        _ => Err(Error::validation(rules.faults.into_iter().map(named).collect())),
    }
}

fn named(fault: Fault) -> Fault {
    let inside =
        fault.path.strip_prefix(DEFINITION).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
    if inside { fault } else { Fault { path: fault.path.trim_start_matches('/').to_owned(), ..fault } }
}

/// The faults so far, the first one of each place.
#[derive(Default)]
struct Rules {
    places: HashSet<String>,
    faults: Vec<Fault>,
}

impl Rules {
    fn add(&mut self, at: String, message: &str) {
        if self.places.insert(at.clone()) {
            self.faults.push(Fault::new(at, message));
        }
    }

    fn body(&mut self, body: &Value) {
        self.reads_as::<Version>("", body, "version");
        self.reads_as::<Version>("", body, "nnoSdkVersion");
        let Some(definition) = body.get("stackDefinition") else { return };
        self.plain(DEFINITION, definition);
        self.features(items(definition, "features"));
        for (index, dependency) in items(definition, "dependsOn").iter().enumerate() {
            self.reads_as::<VersionRange>(
                &format!("{DEFINITION}/dependsOn/{index}"),
                dependency,
                "versionRange",
            );
        }
        if let Some(inputs) = definition.get("inputs").filter(|inputs| inputs.is_object()) {
            self.inputs(inputs);
        }
    }

    /// The text of a field must read as a `T`.
    fn reads_as<T: FromStr<Err = String>>(&mut self, at: &str, thing: &Value, field: &str) {
        if let Some(text) = thing.get(field).and_then(Value::as_str)
            && let Err(why) = text.parse::<T>()
        {
            self.add(format!("{at}/{field}"), &why);
        }
    }

    /// No text, and no name, may hold control characters.
    fn plain(&mut self, at: &str, value: &Value) {
        match value {
            Value::String(text) if !is_plain(text) => self.add(at.to_owned(), NOT_PLAIN),
            Value::Array(items) => {
                for (index, item) in items.iter().enumerate() {
                    self.plain(&format!("{at}/{index}"), item);
                }
            }
            Value::Object(fields) => {
                for (name, field) in fields {
                    let at = format!("{at}/{}", escaped(name));
                    if !is_plain(name) {
                        self.add(at.clone(), &format!("its name {NOT_PLAIN}"));
                    }
                    self.plain(&at, field);
                }
            }
            _ => {}
        }
    }

    fn features(&mut self, features: &[Value]) {
        let mut seen: HashMap<&str, usize> = HashMap::new();
        for (index, feature) in features.iter().enumerate() {
            let at = format!("{DEFINITION}/features/{index}");
            self.reads_as::<Version>(&at, feature, "version");
            let Some(id) = feature.get("id").and_then(Value::as_str) else { continue };
            if let Some(first) = seen.get(id) {
                self.add(format!("{at}/id"), &format!("is the id of {DEFINITION}/features/{first} already"));
            } else {
                seen.insert(id, index);
            }
            // Of an id that is none, no key can be right.
            if Slug::parse(id).is_ok() {
                self.permissions(&at, id, items(feature, "permissions"));
            }
        }
    }

    fn permissions(&mut self, at: &str, feature: &str, permissions: &[Value]) {
        for (index, permission) in permissions.iter().enumerate() {
            if permission.as_str().is_some_and(|key| !is_permission(feature, key)) {
                let message = format!("must be '{feature}:' and then letters of a-z and '-'");
                self.add(format!("{at}/permissions/{index}"), &message);
            }
        }
    }

    /// `inputs` must be a JSON Schema that can be used: lawful by its meta-schema, with patterns that are regular
    /// expressions and no references to elsewhere.
    fn inputs(&mut self, inputs: &Value) {
        let at = format!("{DEFINITION}/inputs");
        let named = inputs.get("$schema").and_then(Value::as_str).unwrap_or(JSON_SCHEMA);
        if named.trim_end_matches('#') != JSON_SCHEMA {
            return self.add(format!("{at}/$schema"), &format!("must be {JSON_SCHEMA}"));
        }
        let meta = jsonschema::draft202012::meta::validator();
        let mut lawful = true;
        for error in meta.iter_errors(inputs) {
            lawful = false;
            self.add(format!("{at}{}", error.instance_path()), &error.masked().to_string());
        }
        if lawful && let Err(error) = jsonschema::draft202012::new(inputs) {
            self.add(format!("{at}{}", error.instance_path()), &error.masked().to_string());
        }
    }
}

/// The items of a field that is a list; none if it is not.
fn items<'v>(thing: &'v Value, field: &str) -> &'v [Value] {
    thing.get(field).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

fn is_permission(feature: &str, key: &str) -> bool {
    let verb = key.strip_prefix(feature).and_then(|rest| rest.strip_prefix(':'));
    verb.is_some_and(|verb| !verb.is_empty() && verb.bytes().all(|c| c.is_ascii_lowercase() || c == b'-'))
}
