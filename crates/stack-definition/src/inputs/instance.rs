//! List of the values to check. The index of a value is its key in the cache of results.

use std::borrow::Cow;

use check::escaped;
use serde_json::Value;

use super::evaluate::Exceeded;

/// Maximum size of the values, in bytes of their JSON text.
pub(crate) const MAX_BYTES: usize = 256 * 1024;
/// Maximum number of values, names of fields included.
pub(crate) const MAX_VALUES: usize = 20_000;
/// Maximum nesting of the values.
pub(crate) const MAX_DEPTH: usize = 64;

/// Index of a value in its list.
pub(crate) type Index = usize;

/// One value: the document, a part of it, or the name of a field.
#[derive(Debug)]
pub(crate) struct Instance<'v> {
    pub(crate) value: Cow<'v, Value>,
    parent: Option<(Index, Segment<'v>)>,
    /// Fields, each with its name, the index of the name as a value, and the index of the value.
    pub(crate) fields: Vec<(&'v str, Index, Index)>,
    pub(crate) items: Vec<Index>,
    /// Number of values that it consists of, where each 64 bytes of text count as one.
    pub(crate) size: usize,
}

#[derive(Debug, Clone, Copy)]
enum Segment<'v> {
    Field(&'v str),
    Item(usize),
    /// Name of a field, which has the pointer of the field.
    Name(&'v str),
}

/// All values of a document, the document itself first.
#[derive(Debug, Default)]
pub(crate) struct Instances<'v>(Vec<Instance<'v>>);

impl Instance<'_> {
    /// Length of a text in bytes; 0 for other values.
    pub(crate) fn text_len(&self) -> usize {
        self.value.as_str().map_or(0, str::len)
    }

    /// Returns true if the value belongs to a field.
    pub(crate) fn is_field(&self) -> bool {
        matches!(self.parent, Some((_, Segment::Field(_))))
    }
}

impl<'v> Instances<'v> {
    /// Lists the values of a document.
    ///
    /// # Errors
    /// The limit that the values exceed.
    pub(crate) fn of(value: &'v Value) -> Result<Self, Exceeded> {
        if value.to_string().len() > MAX_BYTES {
            return Err(Exceeded::Bytes);
        }
        let mut all = Self::default();
        all.add(Cow::Borrowed(value), None, 0)?;
        Ok(all)
    }

    #[expect(clippy::indexing_slicing, reason = "an index is that of a value that was pushed before")]
    pub(crate) fn get(&self, index: Index) -> &Instance<'v> {
        &self.0[index]
    }

    fn add(
        &mut self,
        value: Cow<'v, Value>,
        parent: Option<(Index, Segment<'v>)>,
        depth: usize,
    ) -> Result<Index, Exceeded> {
        let index = self.0.len();
        if index >= MAX_VALUES {
            return Err(Exceeded::Values);
        }
        if depth > MAX_DEPTH {
            return Err(Exceeded::Depth);
        }
        let mut size = 1 + value.as_str().map_or(0, |text| text.len() / 64);
        let (mut fields, mut items) = (Vec::new(), Vec::new());
        let inner = if let Cow::Borrowed(value) = &value { Some(*value) } else { None };
        self.0.push(Instance { value, parent, fields: Vec::new(), items: Vec::new(), size });
        match inner {
            Some(Value::Object(inner)) => {
                for (name, value) in inner {
                    let text = Cow::Owned(Value::String(name.clone()));
                    let as_value = self.add(text, Some((index, Segment::Name(name))), depth + 1)?;
                    let field =
                        self.add(Cow::Borrowed(value), Some((index, Segment::Field(name))), depth + 1)?;
                    size += self.get(as_value).size + self.get(field).size;
                    fields.push((name.as_str(), as_value, field));
                }
            }
            Some(Value::Array(inner)) => {
                for (position, value) in inner.iter().enumerate() {
                    let item =
                        self.add(Cow::Borrowed(value), Some((index, Segment::Item(position))), depth + 1)?;
                    size += self.get(item).size;
                    items.push(item);
                }
            }
            _ => {}
        }
        if let Some(instance) = self.0.get_mut(index) {
            (instance.fields, instance.items, instance.size) = (fields, items, size);
        }
        Ok(index)
    }

    /// The JSON pointer of a value.
    pub(crate) fn pointer(&self, index: Index) -> String {
        let mut segments = Vec::new();
        let mut next = self.get(index).parent;
        while let Some((parent, segment)) = next {
            segments.push(match segment {
                Segment::Field(name) | Segment::Name(name) => format!("/{}", escaped(name)),
                Segment::Item(position) => format!("/{position}"),
            });
            next = self.get(parent).parent;
        }
        segments.into_iter().rev().collect()
    }
}
