//! Evaluation of a schema on values within a budget.
//!
//! Each pair of a subschema and a value is evaluated once and its result cached. The work therefore grows with the
//! product of both sizes, and not with the number of combinations of alternatives. The budget bounds the product.

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

/// Maximum cost of one validation.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Budget {
    /// Number of applications of subschemas to values. Long texts and long enumerations count as several.
    pub(crate) steps: usize,
    /// Time from the first to the last step.
    pub(crate) time: Duration,
}

impl Default for Budget {
    fn default() -> Self {
        Self { steps: 500_000, time: Duration::from_secs(1) }
    }
}

/// Maximum recursion depth, which bounds the use of the thread's stack.
const MAX_RECURSION: usize = 512;
/// Number of steps between two checks of the time.
const STEPS_PER_TIME_CHECK: usize = 1024;

/// Limit that the values exceed.
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
            Self::Values => write!(f, "must contain at most {MAX_VALUES} values and names"),
            Self::Depth => write!(f, "must not be nested more than {MAX_DEPTH} levels deep"),
            Self::Cost => f.write_str(
                "must have fewer or less deeply nested values: the check against the template's schema takes too long",
            ),
        }
    }
}

/// Checks values against a schema.
///
/// # Errors
/// The limit that the values exceed. It is then unknown whether they are valid.
pub(crate) fn check(graph: &Graph, values: &Value, budget: Budget) -> Result<Vec<Fault>, Exceeded> {
    let instances = Instances::of(values)?;
    let mut evaluation = Evaluation {
        graph,
        instances: &instances,
        results: HashMap::new(),
        steps: 0,
        depth: 0,
        max_steps: budget.steps,
        until: Instant::now() + budget.time,
    };
    let mut faults = Faults::default();
    evaluation.explain(Graph::ROOT, 0, &mut faults)?;
    Ok(faults.found)
}

/// Faults found so far.
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
    max_steps: usize,
    until: Instant,
}

impl<'a> Evaluation<'a> {
    fn spend(&mut self, steps: usize) -> Result<(), Exceeded> {
        let checks = self.steps / STEPS_PER_TIME_CHECK;
        self.steps = self.steps.saturating_add(steps);
        let is_late = || self.steps / STEPS_PER_TIME_CHECK > checks && Instant::now() > self.until;
        if self.steps > self.max_steps || is_late() { Err(Exceeded::Cost) } else { Ok(()) }
    }

    /// Returns true if a value matches a subschema.
    fn is_valid(&mut self, schema: Id, value: Index) -> Result<bool, Exceeded> {
        self.spend(1)?;
        if let Some(result) = self.results.get(&(schema, value)) {
            return Ok(*result);
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
        if !self.assertions_hold(node, value)? || self.branch_fault(node, value)?.is_some() {
            return Ok(false);
        }
        for (schema, value) in self.applied(node, value)? {
            if !self.is_valid(schema, value)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Returns true if the assertions of a subschema hold.
    fn assertions_hold(&mut self, node: &Node, value: Index) -> Result<bool, Exceeded> {
        let Some(assertions) = &node.assertions else { return Ok(true) };
        let instance = self.instances.get(value);
        self.spend(assertions.cost(instance))?;
        Ok(assertions.validator.is_valid(&instance.value))
    }

    /// Returns the fault of the keywords that can hold although one of their subschemas does not, if there is one.
    fn branch_fault(&mut self, node: &Node, value: Index) -> Result<Option<String>, Exceeded> {
        if let Some(alternatives) = &node.any_of
            && self.count_matches(alternatives, value, 1)? == 0
        {
            return Ok(Some("must match one of the alternatives of 'anyOf'".to_owned()));
        }
        if let Some(alternatives) = &node.one_of {
            match self.count_matches(alternatives, value, 2)? {
                1 => {}
                0 => return Ok(Some("must match one of the alternatives of 'oneOf'".to_owned())),
                _ => return Ok(Some("must match only one of the alternatives of 'oneOf'".to_owned())),
            }
        }
        if let Some(excluded) = node.not
            && self.is_valid(excluded, value)?
        {
            return Ok(Some("must not match the schema of 'not'".to_owned()));
        }
        match &node.contains {
            Some(contains) => self.contains(contains, value),
            None => Ok(None),
        }
    }

    /// The number of subschemas that a value matches, counted up to `max`.
    fn count_matches(&mut self, schemas: &[Id], value: Index, max: usize) -> Result<usize, Exceeded> {
        let mut matches = 0;
        for schema in schemas {
            matches += usize::from(self.is_valid(*schema, value)?);
            if matches == max {
                break;
            }
        }
        Ok(matches)
    }

    fn contains(&mut self, contains: &Contains, value: Index) -> Result<Option<String>, Exceeded> {
        let instance = self.instances.get(value);
        if !instance.value.is_array() {
            return Ok(None);
        }
        let mut matches: u64 = 0;
        for item in &instance.items {
            matches += u64::from(self.is_valid(contains.schema, *item)?);
        }
        let (min, max) = (contains.min, contains.max.unwrap_or(u64::MAX));
        Ok(if matches < min {
            Some(format!("must have at least {min} items that match the schema of 'contains'"))
        } else if matches > max {
            Some(format!("must have at most {max} items that match the schema of 'contains'"))
        } else {
            None
        })
    }

    /// The subschemas that must all match, each with the value that it applies to.
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
        for (index, item) in instance.items.iter().enumerate() {
            let schema = node.prefix.get(index).copied().or(node.items);
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

    /// Adds the faults of a value. Each fault of an assertion has its own path. Alternatives are one fault together,
    /// because it is unknown which of them the user meant.
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
            let message = if instance.is_field() { "is not a known field" } else { "is not allowed" };
            faults.found.push(Fault::new(at(), message));
            return Ok(());
        }
        if !self.assertions_hold(node, value)?
            && let Some(assertions) = &node.assertions
        {
            let own = check::faults(&assertions.validator, &instance.value);
            let at = at();
            faults
                .found
                .extend(own.into_iter().map(|own| Fault::new(format!("{at}{}", own.path), own.message)));
        }
        if let Some(fault) = self.branch_fault(node, value)? {
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
