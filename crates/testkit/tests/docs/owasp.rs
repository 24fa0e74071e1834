//! The table of the OWASP API Security Top 10: every item, each with tests that exist.

use crate::page::read;

/// The items, by their official names.
const ITEMS: [&str; 10] = [
    "API1:2023 Broken Object Level Authorization",
    "API2:2023 Broken Authentication",
    "API3:2023 Broken Object Property Level Authorization",
    "API4:2023 Unrestricted Resource Consumption",
    "API5:2023 Broken Function Level Authorization",
    "API6:2023 Unrestricted Access to Sensitive Business Flows",
    "API7:2023 Server Side Request Forgery",
    "API8:2023 Security Misconfiguration",
    "API9:2023 Improper Inventory Management",
    "API10:2023 Unsafe Consumption of APIs",
];

/// Returns the rows of the table: item, countermeasure, tests.
fn rows() -> Vec<[String; 3]> {
    let page = read("docs/operator-guide/security.md");
    let (_, section) = page.split_once("\n## OWASP API Security Top 10 (2023)\n").unwrap();
    let (section, _) = section.split_once("\n### ").unwrap();
    let rows = section.lines().filter_map(|line| line.strip_prefix("| API")?.strip_suffix(" |"));
    rows.map(|row| {
        let cells: Vec<String> = row.split(" | ").map(str::to_owned).collect();
        cells.try_into().unwrap_or_else(|cells| panic!("{cells:?}"))
    })
    .collect()
}

/// Returns the tests of a cell by file. A file is followed by the tests in it.
fn tests(cell: &str) -> Vec<(String, Vec<String>)> {
    let mut tests: Vec<(String, Vec<String>)> = Vec::new();
    for name in cell.split('`').skip(1).step_by(2).map(str::to_owned) {
        match tests.last_mut() {
            _ if name.ends_with(".rs") => tests.push((name, Vec::new())),
            Some((_, names)) => names.push(name),
            None => panic!("{name} follows no file"),
        }
    }
    tests
}

/// Returns true if the text has a test function of this name, with the attribute of a test.
fn has_test(text: &str, name: &str) -> bool {
    let Some((before, _)) = text.split_once(&format!("fn {name}(")) else { return false };
    let attributes = before.rsplit("\n\n").next().unwrap_or_default();
    attributes.lines().any(|line| line.trim().starts_with("#[") && line.contains("test"))
}

#[test]
fn every_item_has_tests_that_exist() {
    let rows = rows();
    let items: Vec<String> = rows.iter().map(|[item, ..]| format!("API{item}")).collect();
    assert_eq!(items, ITEMS);
    for [item, countermeasure, cell] in rows {
        assert!(countermeasure.len() > 40, "{item}: {countermeasure}");
        let tests = tests(&cell);
        assert!(!tests.is_empty(), "{item} has no tests");
        for (path, names) in tests {
            let text = read(&path);
            assert!(!names.is_empty(), "{item}: no test of {path} is named");
            for name in names {
                assert!(has_test(&text, &name), "{item}: {path} has no test {name}");
            }
        }
    }
}

#[test]
fn renamed_tests_are_missed() {
    let text = "fn helper() {}\n\n#[tokio::test]\nasync fn one_case() {\n    helper();\n}\n";
    assert!(has_test(text, "one_case"));
    assert!(!has_test(text, "one"));
    assert!(!has_test(text, "helper"), "it is not a test");
    assert!(!has_test(text, "another_case"));
}
