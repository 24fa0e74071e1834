//! Tables of the rules of the API.

use std::collections::BTreeSet;

use domain::platform::TRANSITIONS;

use crate::page::read;

/// Returns the texts in backticks in each cell of the tables under a heading.
fn rows(page: &str, heading: &str) -> Vec<Vec<Vec<String>>> {
    let page = read(page);
    let (_, section) = page.split_once(&format!("\n## {heading}\n")).unwrap();
    let (section, _) = section.split_once("\n## ").unwrap_or((section, ""));
    let cell = |cell: &str| cell.split('`').skip(1).step_by(2).map(str::to_owned).collect();
    section
        .lines()
        .filter(|line| line.starts_with("| "))
        .skip(1)
        .map(|line| line.split(" | ").map(cell).collect())
        .collect()
}

#[test]
fn lifecycle_of_a_platform_is_that_of_the_domain() {
    let code: BTreeSet<(String, String, String)> = TRANSITIONS
        .iter()
        .map(|(from, event, to)| (from.to_string(), event.to_string(), to.to_string()))
        .collect();
    let page: BTreeSet<(String, String, String)> =
        rows("docs/user-guide/platforms.md", "The lifecycle of a platform")
            .into_iter()
            .flat_map(|row| {
                row[0]
                    .iter()
                    .map(|from| (from.clone(), row[1][0].clone(), row[2][0].clone()))
                    .collect::<Vec<_>>()
            })
            .collect();
    assert_eq!(page, code);
}

#[test]
fn diagram_of_the_lifecycle_is_that_of_the_domain() {
    let code: BTreeSet<String> =
        TRANSITIONS.iter().map(|(from, event, to)| format!("{from} --> {to}: {event}")).collect();
    let page = read("docs/user-guide/platforms.md");
    let diagram = page.lines().map(str::trim).filter(|line| line.contains(" --> ") && line.contains(": "));
    assert_eq!(diagram.map(str::to_owned).collect::<BTreeSet<_>>(), code);
}

#[test]
fn paths_are_those_that_the_gateway_knows() {
    let source = read("crates/gateway/src/routes.rs");
    let (_, table) = source.split_once("const TABLE").unwrap();
    let (table, _) = table.split_once("];").unwrap();
    let known: BTreeSet<String> = table
        .split('"')
        .skip(1)
        .step_by(2)
        .map(str::to_owned)
        // The prefix of a service that differs from the public one.
        .filter(|path| !table.contains(&format!("internal: \"{path}\"")))
        .collect();
    let listed: BTreeSet<String> = rows("docs/api-reference/conventions.md", "Base URL and authentication")
        .into_iter()
        .flat_map(|row| row[0].clone())
        .filter(|path| path.starts_with("/api/"))
        .collect();
    assert_eq!(listed, known);
}
