//! Schema of inputs as a graph of subschemas, with all references resolved and all limits checked.
//!
//! Building the graph bounds the factors of a validation's cost. Evaluating the graph visits each pair of a subschema
//! and a value at most once, so the costs of alternatives and recursion do not multiply.

use std::collections::{BTreeMap, HashMap};

use check::escaped;
use domain::Fault;
use jsonschema::Validator;
use serde_json::{Map, Value};

use super::{
    assertions::{self, Assertions, Pattern},
    references,
};

/// Maximum size of a schema, in bytes of its JSON text.
pub(crate) const MAX_BYTES: usize = 64 * 1024;
/// Maximum number of subschemas of a schema, including the schema itself.
pub(crate) const MAX_SUBSCHEMAS: usize = 1000;
/// Maximum nesting of subschemas, and maximum length of a chain of subschemas that apply to the same value.
pub(crate) const MAX_DEPTH: usize = 32;

/// Index of a subschema in its graph.
pub(crate) type Id = usize;

/// Schema with resolved references.
#[derive(Debug, Default)]
pub(crate) struct Graph {
    nodes: Vec<Node>,
}

/// Subschema: its assertions on the value itself, and the subschemas that apply to the value or to parts of it.
#[derive(Debug, Default)]
pub(crate) struct Node {
    /// Result of a boolean schema.
    pub(crate) always: Option<bool>,
    pub(crate) assertions: Option<Assertions>,
    /// Subschemas of `allOf` and `$ref`.
    pub(crate) all_of: Vec<Id>,
    pub(crate) any_of: Option<Vec<Id>>,
    pub(crate) one_of: Option<Vec<Id>>,
    pub(crate) not: Option<Id>,
    pub(crate) condition: Option<Condition>,
    pub(crate) dependent: Vec<(String, Id)>,
    pub(crate) properties: BTreeMap<String, Id>,
    pub(crate) patterns: Vec<(Pattern, Id)>,
    pub(crate) additional: Option<Id>,
    pub(crate) names: Option<Id>,
    pub(crate) prefix: Vec<Id>,
    pub(crate) items: Option<Id>,
    pub(crate) contains: Option<Contains>,
}

/// Keywords `if`, `then` and `else`.
#[derive(Debug)]
pub(crate) struct Condition {
    pub(crate) test: Id,
    pub(crate) then: Option<Id>,
    pub(crate) otherwise: Option<Id>,
}

/// Keywords `contains`, `minContains` and `maxContains`.
#[derive(Debug)]
pub(crate) struct Contains {
    pub(crate) schema: Id,
    pub(crate) min: u64,
    pub(crate) max: Option<u64>,
}

impl Graph {
    /// Builds the graph of a schema that matches its meta-schema.
    ///
    /// # Errors
    /// The first fault, by its JSON pointer into the schema.
    pub(crate) fn build(schema: &Value) -> Result<Self, Fault> {
        if schema.to_string().len() > MAX_BYTES {
            return Err(Fault::new("", format!("must be at most {} KiB of JSON", MAX_BYTES / 1024)));
        }
        let mut builder = Builder::default();
        builder.subschema(String::new(), schema, 0)?;
        builder.resolve()?;
        let graph = builder.graph;
        graph.reject_endless(&builder.pointers)?;
        Ok(graph)
    }

    /// The root of the schema.
    pub(crate) const ROOT: Id = 0;

    #[expect(clippy::indexing_slicing, reason = "an id is the index of a node that was pushed before")]
    pub(crate) fn node(&self, id: Id) -> &Node {
        &self.nodes[id]
    }

    #[expect(clippy::indexing_slicing, reason = "an id is the index of a node that was pushed before")]
    fn node_mut(&mut self, id: Id) -> &mut Node {
        &mut self.nodes[id]
    }

    /// Rejects subschemas that apply themselves to the same value again, and long chains of subschemas for one value.
    /// The depth of the value then bounds the recursion of the validation.
    fn reject_endless(&self, pointers: &HashMap<String, Id>) -> Result<(), Fault> {
        let mut chains = vec![Chain::Unknown; self.nodes.len()];
        for id in 0..self.nodes.len() {
            if let Err(why) = self.chain(id, &mut chains, 0) {
                let at = pointers.iter().find(|(_, other)| **other == id).map(|(at, _)| at.clone());
                return Err(Fault::new(at.unwrap_or_default(), why));
            }
        }
        Ok(())
    }

    /// Length of the longest chain of subschemas that starts at `id` and applies to one value.
    fn chain(&self, id: Id, chains: &mut [Chain], depth: usize) -> Result<usize, String> {
        match chains.get(id) {
            Some(Chain::Known(length)) => return Ok(*length),
            Some(Chain::Open) => return Err(ENDLESS.to_owned()),
            _ if depth > MAX_DEPTH => return Err(too_long()),
            _ => {}
        }
        set(chains, id, Chain::Open);
        let mut longest = 0;
        for next in self.node(id).in_place() {
            longest = longest.max(self.chain(next, chains, depth + 1)? + 1);
        }
        set(chains, id, Chain::Known(longest));
        if longest > MAX_DEPTH { Err(too_long()) } else { Ok(longest) }
    }
}

const ENDLESS: &str = "must not refer to itself for the same value: place the $ref below properties or items";

fn too_long() -> String {
    format!("must not chain more than {MAX_DEPTH} subschemas that all apply to the same value")
}

#[derive(Debug, Clone, Copy)]
enum Chain {
    Unknown,
    Open,
    Known(usize),
}

fn set(chains: &mut [Chain], id: Id, chain: Chain) {
    if let Some(slot) = chains.get_mut(id) {
        *slot = chain;
    }
}

impl Node {
    /// The subschemas that apply to the same value.
    fn in_place(&self) -> impl Iterator<Item = Id> {
        let condition = self.condition.iter().flat_map(|c| [Some(c.test), c.then, c.otherwise]).flatten();
        let lists =
            self.all_of.iter().chain(self.any_of.iter().flatten()).chain(self.one_of.iter().flatten());
        let dependent = self.dependent.iter().map(|(_, id)| *id);
        lists.copied().chain(self.not).chain(condition).chain(dependent)
    }
}

/// Subschemas found so far.
#[derive(Default)]
struct Builder {
    graph: Graph,
    /// The subschemas by JSON pointer.
    pointers: HashMap<String, Id>,
    /// The subschemas by `$anchor`.
    anchors: HashMap<String, Id>,
    /// The references to resolve: the subschema, its JSON pointer, and the text.
    references: Vec<(Id, String, String)>,
    /// Total compiled size of the patterns.
    pattern_bytes: usize,
}

impl Builder {
    /// Adds the subschema at a JSON pointer with all subschemas below it.
    fn subschema(&mut self, at: String, schema: &Value, depth: usize) -> Result<Id, Fault> {
        if depth > MAX_DEPTH {
            return Err(Fault::new(at, format!("must not be nested more than {MAX_DEPTH} subschemas deep")));
        }
        let id = self.graph.nodes.len();
        if id >= MAX_SUBSCHEMAS {
            return Err(Fault::new("", format!("must have at most {MAX_SUBSCHEMAS} subschemas")));
        }
        self.graph.nodes.push(Node::default());
        self.pointers.insert(at.clone(), id);
        let node = match schema {
            Value::Object(schema) => self.object(id, &at, schema, depth + 1)?,
            other => Node { always: other.as_bool(), ..Node::default() },
        };
        *self.graph.node_mut(id) = node;
        Ok(id)
    }

    fn object(&mut self, id: Id, at: &str, schema: &Map<String, Value>, depth: usize) -> Result<Node, Fault> {
        references::reject_unsupported(at, schema)?;
        if let Some(anchor) = schema.get("$anchor").and_then(Value::as_str)
            && self.anchors.insert(anchor.to_owned(), id).is_some()
        {
            return Err(Fault::new(format!("{at}/$anchor"), "must be unique within the schema"));
        }
        if let Some(target) = schema.get("$ref").and_then(Value::as_str) {
            self.references.push((id, at.to_owned(), target.to_owned()));
        }
        // Targets of references, which apply to no value by themselves.
        for keyword in ["$defs", "definitions"] {
            self.map(at, schema, keyword, depth)?;
        }
        self.one(at, schema, "contentSchema", depth)?;
        let (then, otherwise) = (self.one(at, schema, "then", depth)?, self.one(at, schema, "else", depth)?);
        let condition = self.one(at, schema, "if", depth)?.map(|test| Condition { test, then, otherwise });
        Ok(Node {
            always: None,
            assertions: assertions::build(at, schema, &mut self.pattern_bytes)?,
            all_of: self.list(at, schema, "allOf", depth)?.unwrap_or_default(),
            any_of: self.list(at, schema, "anyOf", depth)?,
            one_of: self.list(at, schema, "oneOf", depth)?,
            not: self.one(at, schema, "not", depth)?,
            condition,
            dependent: self.map(at, schema, "dependentSchemas", depth)?,
            properties: self.map(at, schema, "properties", depth)?.into_iter().collect(),
            patterns: self.patterns(at, schema, depth)?,
            additional: self.one(at, schema, "additionalProperties", depth)?,
            names: self.one(at, schema, "propertyNames", depth)?,
            prefix: self.list(at, schema, "prefixItems", depth)?.unwrap_or_default(),
            items: self.one(at, schema, "items", depth)?,
            contains: self.contains(at, schema, depth)?,
        })
    }

    fn one(
        &mut self,
        at: &str,
        schema: &Map<String, Value>,
        keyword: &str,
        depth: usize,
    ) -> Result<Option<Id>, Fault> {
        schema.get(keyword).map(|inner| self.subschema(format!("{at}/{keyword}"), inner, depth)).transpose()
    }

    fn list(
        &mut self,
        at: &str,
        schema: &Map<String, Value>,
        keyword: &str,
        depth: usize,
    ) -> Result<Option<Vec<Id>>, Fault> {
        let Some(inner) = schema.get(keyword).and_then(Value::as_array) else { return Ok(None) };
        let each = inner.iter().enumerate();
        each.map(|(index, inner)| self.subschema(format!("{at}/{keyword}/{index}"), inner, depth))
            .collect::<Result<_, _>>()
            .map(Some)
    }

    fn map(
        &mut self,
        at: &str,
        schema: &Map<String, Value>,
        keyword: &str,
        depth: usize,
    ) -> Result<Vec<(String, Id)>, Fault> {
        let inner = schema.get(keyword).and_then(Value::as_object);
        let each = inner.into_iter().flatten();
        each.map(|(name, inner)| {
            let at = format!("{at}/{keyword}/{}", escaped(name));
            Ok((name.clone(), self.subschema(at, inner, depth)?))
        })
        .collect()
    }

    fn patterns(
        &mut self,
        at: &str,
        schema: &Map<String, Value>,
        depth: usize,
    ) -> Result<Vec<(Pattern, Id)>, Fault> {
        let found = self.map(at, schema, "patternProperties", depth)?;
        found
            .into_iter()
            .map(|(pattern, id)| {
                let at = format!("{at}/patternProperties/{}", escaped(&pattern));
                Ok((Pattern::build(&at, &pattern, &mut self.pattern_bytes)?, id))
            })
            .collect()
    }

    fn contains(
        &mut self,
        at: &str,
        schema: &Map<String, Value>,
        depth: usize,
    ) -> Result<Option<Contains>, Fault> {
        let bound = |name: &str| schema.get(name).and_then(assertions::whole);
        let inner = self.one(at, schema, "contains", depth)?;
        Ok(inner.map(|inner| Contains {
            schema: inner,
            min: bound("minContains").unwrap_or(1),
            max: bound("maxContains"),
        }))
    }

    /// Resolves the references.
    fn resolve(&mut self) -> Result<(), Fault> {
        for (id, at, text) in std::mem::take(&mut self.references) {
            let target = references::target(&text, &self.pointers, &self.anchors);
            let target = target.ok_or_else(|| Fault::new(format!("{at}/$ref"), references::ELSEWHERE))?;
            self.graph.node_mut(id).all_of.push(target);
        }
        Ok(())
    }
}

/// A validator for a schema of only assertions, which searches patterns in linear time.
pub(super) fn validator(
    schema: &Value,
    pattern_bytes: usize,
) -> Result<Validator, jsonschema::ValidationError<'static>> {
    let patterns = jsonschema::PatternOptions::regex().size_limit(pattern_bytes);
    jsonschema::draft202012::options().with_pattern_options(patterns).build(schema)
}
