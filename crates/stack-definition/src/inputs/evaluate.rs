//! Evaluates a schema on values within a budget.
//!
//! Each pair of a subschema and a value is evaluated once and remembered, so the work grows with the product of both
//! sizes and never with the number of ways through alternatives. The budget bounds the product.

use std::{
    collections::{HashMap, HashSet},
    time::{Duration, Instant},
};

use domain::{Fault, MAX_FAULTS};

use serde_json::Value;

use super::{
    graph::{Contains, Graph, Id, Node},
    instance::{Index, Instances, MAX_BYTES, MAX_DEPTH, MAX_VALUES},
};

/// The most that one validation may cost.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Budget {
    /// Subschemas applied to values; long texts and long enumerations count as several.
    pub(crate) steps: usize,
    /// Time from the first step to the last.
    pub(crate) time: Duration,
}

impl Default for Budget {
    fn default() -> Self {
        Self { steps: 500_000, time: Duration::from_secs(1) }
    }
}

/// Maximum recursion: a bound on the stack.
const MAX_RECURSION: usize = 512;
/// Steps between two looks at the clock.
const STEPS_PER_LOOK: usize = 1024;

/// The limit that the values exceed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exceeded {
    Bytes,
    Values,
    Depth,
    Cost,
}

impl std::fmt::Display for Exceeded {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Bytes => write!(f, "must be at most {} KiB of JSON", MAX_BYTES / 1024),
            Self::Values => write!(f, "must hold at most {MAX_VALUES} values and names"),
            Self::Depth => write!(f, "must not be nested more than {MAX_DEPTH} levels deep"),
            Self::Cost => f.write_str(
                "take too long to check against the template's schema: give fewer or less deeply nested values",
            ),
        }
    }
}

/// Checks values against a schema.
///
/// # Errors
/// When the values exceed a limit, so that it is not known whether they are valid.
pub(crate) fn check(graph: &Graph, values: &Value, budget: Budget) -> Result<Vec<Fault>, Exceeded> {
    let instances = Instances::of(values)?;
    let mut evaluation = Evaluation {
        graph,
        instances: &instances,
        results: HashMap::new(),
        steps: 0,
        depth: 0,
        most: budget.steps,
        until: Instant::now() + budget.time,
    };
    let mut faults = Faults::default();
    evaluation.explain(Graph::ROOT, 0, &mut faults)?;
    Ok(faults.found)
}

/// The faults found so far.
#[derive(Default)]
struct Faults {
    found: Vec<Fault>,
    explained: HashSet<(Id, Index)>,
}

struct Evaluation<'a> {
    graph: &'a Graph,
    instances: &'a Instances<'a>,
    results: HashMap<(Id, Index), bool>,
    steps: usize,
    depth: usize,
    most: usize,
    until: Instant,
}

impl<'a> Evaluation<'a> {
    fn spend(&mut self, steps: usize) -> Result<(), Exceeded> {
        let looks = self.steps / STEPS_PER_LOOK;
        self.steps = self.steps.saturating_add(steps);
        let is_late = || self.steps / STEPS_PER_LOOK > looks && Instant::now() > self.until;
        if self.steps > self.most || is_late() { Err(Exceeded::Cost) } else { Ok(()) }
    }

    /// Whether a value is valid by a subschema.
    fn is_valid(&mut self, schema: Id, value: Index) -> Result<bool, Exceeded> {
        self.spend(1)?;
        if let Some(known) = self.results.get(&(schema, value)) {
            return Ok(*known);
        }
        if self.depth >= MAX_RECURSION {
            return Err(Exceeded::Cost);
        }
        self.depth += 1;
        let result = self.evaluate(schema, value)?;
        self.depth -= 1;
        self.results.insert((schema, value), result);
        Ok(result)
    }

    fn evaluate(&mut self, schema: Id, value: Index) -> Result<bool, Exceeded> {
        let node = self.graph.node(schema);
        if let Some(always) = node.always {
            return Ok(always);
        }
        if !self.holds(node, value)? || self.branches(node, value)?.is_some() {
            return Ok(false);
        }
        for (schema, value) in self.applied(node, value)? {
            if !self.is_valid(schema, value)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Whether the assertions of a subschema hold.
    fn holds(&mut self, node: &Node, value: Index) -> Result<bool, Exceeded> {
        let Some(assertions) = &node.assertions else { return Ok(true) };
        let instance = self.instances.get(value);
        self.spend(assertions.cost(instance))?;
        Ok(assertions.validator.is_valid(&instance.value))
    }

    /// The fault of the keywords that may hold though a subschema of theirs does not, if there is one.
    fn branches(&mut self, node: &Node, value: Index) -> Result<Option<String>, Exceeded> {
        if let Some(alternatives) = &node.any_of
            && self.fitting(alternatives, value, 1)? == 0
        {
            return Ok(Some("fits none of the alternatives of 'anyOf'".to_owned()));
        }
        if let Some(alternatives) = &node.one_of {
            match self.fitting(alternatives, value, 2)? {
                1 => {}
                0 => return Ok(Some("fits none of the alternatives of 'oneOf'".to_owned())),
                _ => return Ok(Some("must fit only one of the alternatives of 'oneOf'".to_owned())),
            }
        }
        if let Some(excluded) = node.not
            && self.is_valid(excluded, value)?
        {
            return Ok(Some("must not fit the schema of 'not'".to_owned()));
        }
        match &node.contains {
            Some(contains) => self.contains(contains, value),
            None => Ok(None),
        }
    }

    /// The number of subschemas that a value is valid by, counted up to `enough`.
    fn fitting(&mut self, schemas: &[Id], value: Index, enough: usize) -> Result<usize, Exceeded> {
        let mut fitting = 0;
        for schema in schemas {
            fitting += usize::from(self.is_valid(*schema, value)?);
            if fitting == enough {
                break;
            }
        }
        Ok(fitting)
    }

    fn contains(&mut self, contains: &Contains, value: Index) -> Result<Option<String>, Exceeded> {
        let instance = self.instances.get(value);
        if !instance.value.is_array() {
            return Ok(None);
        }
        let mut fitting: u64 = 0;
        for item in &instance.items {
            fitting += u64::from(self.is_valid(contains.schema, *item)?);
        }
        let (least, most) = (contains.min, contains.max.unwrap_or(u64::MAX));
        Ok(if fitting < least {
            Some(format!("must have at least {least} items that fit the schema of 'contains'"))
        } else if fitting > most {
            Some(format!("must have at most {most} items that fit the schema of 'contains'"))
        } else {
            None
        })
    }

    /// The subschemas that must all hold, each with the value that it applies to.
    fn applied(&mut self, node: &Node, value: Index) -> Result<Vec<(Id, Index)>, Exceeded> {
        let instance = self.instances.get(value);
        let mut applied: Vec<(Id, Index)> = node.all_of.iter().map(|schema| (*schema, value)).collect();
        if let Some(condition) = &node.condition {
            let holds = self.is_valid(condition.test, value)?;
            let next = if holds { condition.then } else { condition.otherwise };
            applied.extend(next.map(|schema| (schema, value)));
        }
        for (name, schema) in &node.dependent {
            if instance.value.get(name).is_some() {
                applied.push((*schema, value));
            }
        }
        for field in &instance.fields {
            self.apply_to_field(node, *field, &mut applied)?;
        }
        for (place, item) in instance.items.iter().enumerate() {
            let schema = node.prefix.get(place).copied().or(node.items);
            applied.extend(schema.map(|schema| (schema, *item)));
        }
        Ok(applied)
    }

    fn apply_to_field(
        &mut self,
        node: &Node,
        (name, as_value, field): (&str, Index, Index),
        applied: &mut Vec<(Id, Index)>,
    ) -> Result<(), Exceeded> {
        self.spend(1)?;
        applied.extend(node.names.map(|schema| (schema, as_value)));
        let own = node.properties.get(name);
        applied.extend(own.map(|schema| (*schema, field)));
        let mut is_named = own.is_some();
        for (pattern, schema) in &node.patterns {
            self.spend(pattern.cost(name))?;
            if pattern.matches(&self.instances.get(as_value).value) {
                is_named = true;
                applied.push((*schema, field));
            }
        }
        if !is_named {
            applied.extend(node.additional.map(|schema| (schema, field)));
        }
        Ok(())
    }

    /// Adds the faults of a value: those of assertions, each at its own place. Of alternatives none is the one that was
    /// meant, so they are one fault together.
    fn explain(&mut self, schema: Id, value: Index, faults: &mut Faults) -> Result<(), Exceeded> {
        if faults.found.len() > MAX_FAULTS
            || self.is_valid(schema, value)?
            || !faults.explained.insert((schema, value))
        {
            return Ok(());
        }
        if self.depth >= MAX_RECURSION {
            return Err(Exceeded::Cost);
        }
        let (node, instance) = (self.graph.node(schema), self.instances.get(value));
        let at = || self.instances.pointer(value);
        if node.always == Some(false) {
            let what = if instance.is_field() { "is not a known field" } else { "is not allowed" };
            faults.found.push(Fault::new(at(), what));
            return Ok(());
        }
        if !self.holds(node, value)?
            && let Some(assertions) = &node.assertions
        {
            let own = check::faults(&assertions.validator, &instance.value);
            let at = at();
            faults
                .found
                .extend(own.into_iter().map(|own| Fault::new(format!("{at}{}", own.path), own.message)));
        }
        if let Some(fault) = self.branches(node, value)? {
            faults.found.push(Fault::new(at(), fault));
        }
        self.depth += 1;
        for (schema, value) in self.applied(node, value)? {
            self.explain(schema, value, faults)?;
        }
        self.depth -= 1;
        Ok(())
    }
}
