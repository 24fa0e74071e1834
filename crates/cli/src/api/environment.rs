//! Environment variables that have no option, because other users could see it or another program defines it.

use std::env;

/// Returns the value of a variable, or `None` if it is unset, empty or not UTF-8.
pub(crate) fn text(name: &str) -> Option<String> {
    env::var_os(name)?.into_string().ok().filter(|text| !text.is_empty())
}
