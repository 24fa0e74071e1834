//! Architecture decision records.

use crate::page::{names_in, read};

#[test]
fn records_have_one_form_and_are_listed_in_order() {
    let names: Vec<String> =
        names_in("docs/decisions").into_iter().filter(|name| name != "README.md").collect();
    let mut rows = Vec::new();
    for (at, name) in names.iter().enumerate() {
        let number = format!("{:04}", at + 1);
        assert!(name.starts_with(&format!("{number}-")), "{name} must have the number {number}");
        let text = read(&format!("docs/decisions/{name}"));
        let headings: Vec<&str> = text.lines().filter(|line| line.starts_with('#')).collect();
        let title = headings[0]
            .strip_prefix(&format!("# {number}. "))
            .unwrap_or_else(|| panic!("{name}: {headings:?}"));
        assert_eq!(headings[1..], ["## Context", "## Decision", "## Consequences"], "{name}");
        rows.push(format!("| [{number}]({name}) | {title} |"));
    }
    let index = read("docs/decisions/README.md");
    let listed: Vec<&str> = index.lines().filter(|line| line.starts_with("| [")).collect();
    assert_eq!(listed, rows);
}
