//! What the environment says where an option would be seen by others, or is none of ours.

use std::env;

/// The value of a variable; none where it is unset, empty or not text.
pub(crate) fn text(name: &str) -> Option<String> {
    env::var_os(name)?.into_string().ok().filter(|text| !text.is_empty())
}
