//! Tables of the rules of the API.

use std::collections::BTreeSet;

use domain::platform::TRANSITIONS;

use crate::page::read;

/// What stands in backticks in each cell of the tables under a heading.
fn rows(heading: &str) -> Vec<Vec<Vec<String>>> {
    let page = read("docs/api.md");
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
fn the_life_of_a_platform_is_that_of_the_domain() {
    let code: BTreeSet<(String, String, String)> = TRANSITIONS
        .iter()
        .map(|(from, event, to)| (from.to_string(), event.to_string(), to.to_string()))
        .collect();
    let told: BTreeSet<(String, String, String)> = rows("The life of a platform")
        .into_iter()
        .flat_map(|row| {
            row[0].iter().map(|from| (from.clone(), row[1][0].clone(), row[2][0].clone())).collect::<Vec<_>>()
        })
        .collect();
    assert_eq!(told, code);
}

#[test]
fn the_paths_are_those_that_the_gateway_knows() {
    let source = read("crates/gateway/src/routes.rs");
    let (_, table) = source.split_once("const TABLE").unwrap();
    let (table, _) = table.split_once("];").unwrap();
    let known: BTreeSet<String> = table
        .split('"')
        .skip(1)
        .step_by(2)
        .map(str::to_owned)
        // What a service itself calls one of them.
        .filter(|path| !table.contains(&format!("there: \"{path}\"")))
        .collect();
    let told: BTreeSet<String> = rows("Who and where")
        .into_iter()
        .flat_map(|row| row[0].clone())
        .filter(|path| path.starts_with("/api/"))
        .collect();
    assert_eq!(told, known);
}
