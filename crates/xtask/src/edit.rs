//! Additions to the lists that name every resource.

use anyhow::{Context, Result};

/// Adds the declaration of a module to the others, in the order of the alphabet. `attribute` stands above each.
///
/// # Errors
/// When the file declares no module.
pub(crate) fn with_module(file: &str, name: &str, attribute: Option<&str>) -> Result<String> {
    let attribute = attribute.map(|line| format!("{line}\n")).unwrap_or_default();
    let (declaration, new) = (format!("mod {name};"), format!("{attribute}mod {name};\n"));
    let mut at = None;
    let mut offset = 0;
    for line in file.split_inclusive('\n') {
        let module = line.trim_start_matches("pub ").trim_end();
        if module.starts_with("mod ") && module.ends_with(';') {
            let start = offset - preceding(file, offset, &attribute);
            if module > declaration.as_str() {
                at = Some(start);
                break;
            }
            at = Some(offset + line.len());
        }
        offset += line.len();
    }
    insert(file, at.context("no module is declared")?, &new)
}

/// Length of the attribute, if it stands directly before the offset.
fn preceding(file: &str, offset: usize, attribute: &str) -> usize {
    let before = file.get(..offset).unwrap_or_default();
    if before.ends_with(attribute) { attribute.len() } else { 0 }
}

/// Adds a line before the line that closes the list which `start` opens.
///
/// # Errors
/// When the file has no such list.
pub(crate) fn with_entry(file: &str, start: &str, entry: &str) -> Result<String> {
    let from = file.find(start).with_context(|| format!("no '{start}'"))? + start.len();
    let rest = file.get(from..).unwrap_or_default();
    let end = from + rest.find("\n]").with_context(|| format!("'{start}' is not closed"))? + 1;
    insert(file, end, &format!("    {entry},\n"))
}

fn insert(file: &str, at: usize, text: &str) -> Result<String> {
    let (before, after) = file.split_at_checked(at).context("not a boundary of the text")?;
    Ok(format!("{before}{text}{after}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_module_is_added_in_its_order() {
        let file = "//! Docs.\n\nmod app;\npub mod schema;\nmod stacks;\n\npub use app::App;\n";
        let with = |name| with_module(file, name, None).unwrap();
        assert!(with("notes").contains("mod app;\nmod notes;\npub mod schema;\n"));
        assert!(with("zones").contains("mod stacks;\nmod zones;\n\npub use"));
        assert!(with("aliases").contains("\n\nmod aliases;\nmod app;\n"));
        assert!(with_module("", "notes", None).is_err());
    }

    #[test]
    fn a_module_of_tests_has_its_attribute() {
        let file = "#[cfg(test)]\nmod a;\n#[cfg(test)]\nmod z;\n";
        let expected = "#[cfg(test)]\nmod a;\n#[cfg(test)]\nmod notes;\n#[cfg(test)]\nmod z;\n";
        assert_eq!(with_module(file, "notes", Some("#[cfg(test)]")).unwrap(), expected);
    }

    #[test]
    fn an_entry_is_added_at_the_end_of_its_list() {
        let file = "const ALL: &[u8] = &[\n    1,\n];\nconst B: &[u8] = &[\n    3,\n];\n";
        let expected = "const ALL: &[u8] = &[\n    1,\n    2,\n];\nconst B: &[u8] = &[\n    3,\n];\n";
        assert_eq!(with_entry(file, "const ALL", "2").unwrap(), expected);
        assert!(with_entry(file, "const C", "2").is_err());
    }
}
