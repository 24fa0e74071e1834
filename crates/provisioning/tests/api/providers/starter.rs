//! The starter of platform repositories.

use std::collections::BTreeSet;
use std::path::Path;

use proptest::prelude::*;
use provisioning::providers::starter::{Author, Starter};

use super::targets::{name, starter};

fn files_below(folder: &Path, start: &str, found: &mut BTreeSet<String>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        let path = format!("{start}{}", entry.file_name().to_str().unwrap());
        if entry.path().is_dir() {
            files_below(&entry.path(), &format!("{path}/"), found);
        } else {
            found.insert(path);
        }
    }
}

#[test]
fn every_file_of_the_starter_is_included() {
    let mut found = BTreeSet::new();
    files_below(&Path::new(env!("CARGO_MANIFEST_DIR")).join("starter"), "", &mut found);
    let shipped: BTreeSet<_> = starter("Acme").files().unwrap().into_keys().collect();
    assert_eq!(shipped, found);
}

#[test]
fn every_placeholder_is_replaced() {
    for (path, content) in starter("Acme").files().unwrap() {
        let text = String::from_utf8(content).unwrap();
        assert!(!text.contains("{{") && !text.contains("}}"), "{path}: {text}");
        assert!(text.ends_with('\n'), "{path}");
    }
}

#[test]
fn value_that_looks_like_a_placeholder_is_not_replaced() {
    let files = starter("{{slug}} {{nothing}}").files().unwrap();
    let package: serde_json::Value = serde_json::from_slice(&files["package.json"]).unwrap();
    assert_eq!(package["description"], "{{slug}} {{nothing}}");
}

#[test]
fn names_are_escaped_in_markdown() {
    let files = starter("<script>x</script> [a](b) `c` *d* \\").files().unwrap();
    let readme = String::from_utf8(files["README.md"].clone()).unwrap();
    let heading = readme.lines().next().unwrap();
    assert_eq!(heading, r"# \<script\>x\</script\> \[a\](b) \`c\` \*d\* \\");
}

#[test]
fn values_that_git_cannot_record_are_rejected() {
    let with = |platform_name: &str, author: &str, email: &str, at| {
        let author = Author { name: author.into(), email: email.into() };
        Starter::new(name("a"), platform_name, name("a"), author, at)
    };
    assert!(with("A", "Ada", "ada@acme.test", 0).is_ok());
    let long = "a".repeat(201);
    for bad in ["", "a\nb", "a\0", &long] {
        assert!(with(bad, "Ada", "ada@acme.test", 0).is_err(), "{bad:?}");
    }
    for bad in ["", " ", "a\n", "a<b", "a>b"] {
        assert!(with("A", bad, "ada@acme.test", 0).is_err(), "{bad:?}");
    }
    for bad in ["", "a b", "a\n", "<a", "a>"] {
        assert!(with("A", "Ada", bad, 0).is_err(), "{bad:?}");
    }
    assert!(with("A", "Ada", "ada@acme.test", -1).is_err());
}

proptest! {
    #[test]
    fn any_name_produces_valid_json(platform_name in "\\PC{1,60}") {
        let files = starter(&platform_name).files().unwrap();
        let manifest: serde_json::Value = serde_json::from_slice(&files["nno.json"]).unwrap();
        prop_assert_eq!(manifest["platform"]["name"].as_str(), Some(platform_name.as_str()));
    }
}
