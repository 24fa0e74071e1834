//! The pages of the error codes.

use domain::Kind;
use runtime::error::mapping;

use crate::page::{names_in, read};

/// As gRPC writes its codes.
fn grpc(kind: Kind) -> String {
    let name = format!("{:?}", mapping(kind).grpc);
    let mut text = String::new();
    for (at, letter) in name.chars().enumerate() {
        if at > 0 && letter.is_ascii_uppercase() {
            text.push('_');
        }
        text.push(letter.to_ascii_uppercase());
    }
    text
}

#[test]
fn every_code_has_a_page_and_every_page_a_code() {
    let mut expected: Vec<String> = Kind::ALL.iter().map(|kind| format!("{kind}.md")).collect();
    expected.push("README.md".to_owned());
    expected.sort();
    assert_eq!(names_in("docs/errors"), expected);
}

#[test]
fn a_page_says_what_its_code_becomes() {
    for kind in Kind::ALL {
        let row = mapping(*kind);
        let (http, grpc, level) = (row.http, grpc(*kind), row.level);
        let head = format!("# {kind}\n\nHTTP {http} · gRPC `{grpc}` · logged at `{level}`\n");
        let page = read(&format!("docs/errors/{kind}.md"));
        assert!(page.starts_with(&head), "docs/errors/{kind}.md must begin with:\n{head}");
        for part in ["\n## What to do\n", "\n## Details\n"] {
            assert!(page.contains(part), "docs/errors/{kind}.md has no {part:?}");
        }
    }
}

#[test]
fn the_table_is_that_of_the_code() {
    let expected: Vec<String> = Kind::ALL
        .iter()
        .map(|kind| {
            let again = if kind.is_transient() { "yes" } else { "no" };
            let (http, grpc) = (mapping(*kind).http, grpc(*kind));
            format!("| [{kind}]({kind}.md) | {http} | `{grpc}` | {again} |")
        })
        .collect();
    let page = read("docs/errors/README.md");
    let rows: Vec<&str> = page.lines().filter(|line| line.starts_with("| [")).collect();
    assert_eq!(rows.len(), expected.len());
    for (row, expected) in rows.iter().zip(&expected) {
        assert!(row.starts_with(expected), "{row}\nmust begin with\n{expected}");
    }
}
