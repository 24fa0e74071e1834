//! The pages of the error codes.

use domain::Kind;
use runtime::error::mapping;
use serde_json::Value;

use crate::page::{Page, names_in, read};

/// Returns the gRPC status of a kind in the notation of gRPC, such as `NOT_FOUND`.
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
fn pages_follow_one_pattern() {
    for kind in Kind::ALL {
        let row = mapping(*kind);
        let (http, grpc, level) = (row.http, grpc(*kind), row.level);
        let head = format!("# {kind}\n\nHTTP {http} · gRPC `{grpc}` · logged at `{level}`\n");
        let page = read(&format!("docs/errors/{kind}.md"));
        assert!(page.starts_with(&head), "docs/errors/{kind}.md must begin with:\n{head}");
        let headings: Vec<&str> = page.lines().filter(|line| line.starts_with("## ")).collect();
        assert_eq!(
            headings,
            ["## What is wrong", "## What to do", "## Details", "## Example"],
            "docs/errors/{kind}.md"
        );
    }
}

#[test]
fn index_lists_every_code_as_the_code_has_it() {
    let expected: Vec<String> = Kind::ALL
        .iter()
        .map(|kind| {
            let retry = if kind.is_transient() { "yes" } else { "no" };
            let (http, grpc) = (mapping(*kind).http, grpc(*kind));
            format!("| [{kind}]({kind}.md) | {http} | `{grpc}` | {retry} |")
        })
        .collect();
    let page = read("docs/errors/README.md");
    let rows: Vec<&str> = page.lines().filter(|line| line.starts_with("| [")).collect();
    assert_eq!(rows.len(), expected.len());
    for (row, expected) in rows.iter().zip(&expected) {
        assert!(row.starts_with(expected), "{row}\nmust begin with\n{expected}");
    }
}

#[test]
fn examples_are_errors_of_their_code() {
    for kind in Kind::ALL {
        let path = format!("docs/errors/{kind}.md");
        let page = Page { text: read(&path), path };
        let example = page.blocks().into_iter().rfind(|block| block.is_language("json"));
        let example = example.unwrap_or_else(|| panic!("{} has no example", page.path));
        let value: Value = serde_json::from_str(&example.text).unwrap();
        let error = value["error"].as_object().unwrap();
        assert_eq!(error["code"], kind.to_string(), "{}", page.path);
        assert!(error["details"].is_object(), "{}", page.path);
        assert!(error["message"].is_string() && error["requestId"].is_string(), "{}", page.path);
    }
}
