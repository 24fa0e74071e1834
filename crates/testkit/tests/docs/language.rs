//! The language rules of CONTRIBUTING.md that a program can check: words that readers do not know, and comments that
//! begin like questions.

use std::{collections::BTreeMap, fs, path::Path, sync::LazyLock};

use regex::Regex;

use crate::page::root;

/// Where the rules apply. Names of the operating system and of other projects are no text of ours.
const FOLDERS: [&str; 9] =
    ["crates", "bench", "proto", "docs", "deploy", "scripts", "catalogue", ".ci", ".github"];
/// Files that quote the words, or that a tool writes.
const EXEMPT: [&str; 3] = ["tests/docs/language.rs", "package-lock.json", "Cargo.lock"];
const ENDINGS: [&str; 10] = ["rs", "sql", "proto", "toml", "md", "sh", "yml", "yaml", "ts", "json"];

/// Occurrences that remain, by crate or folder. The numbers may only shrink.
const REMAINING: [(&str, usize); 0] = [];

/// Words with a plain equivalent: report, again, next to, any.
const WORDS: &str = r"(?i)(?:\b|_)(?:told|tell|tells|telling|anew|beside|whoever)(?:\b|_)|(?:[a-z]|\b)(?:Told|Tell|Anew|Beside)(?:[A-Z]|\b)";
const PHRASES: &str = r"(?i)\b(?:as everyone|who sees|none but|all that)\b";
/// Types are named by a noun of the field.
const TYPES: &str = r"\b(?:struct|enum|trait|type)\s+(?:Told|Kept|Held|Made|Asked|Wanted|Given|Sight|Sighted|Wall|Home|Turn|Place|Way|Own|Parts|Passing|Taken|Move|Moved|Moment|Verdict|Site|Begun|Served|Tally)\b";
/// A doc comment begins with a noun phrase or a verb.
const QUESTIONS: &str = r"^\s*(?:///|//!|//|--) (?:What|Who|Whose|Whether|How|Where)\b";

static RULES: LazyLock<[Regex; 4]> =
    LazyLock::new(|| [WORDS, PHRASES, TYPES, QUESTIONS].map(|rule| Regex::new(rule).unwrap()));
static COMMENT: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"^\s*(?:///|//!|//|--)(.*)$").unwrap());

/// The lines of a text that break a rule.
fn faults(text: &str) -> Vec<(usize, &str)> {
    let [words, phrases, types, questions] = &*RULES;
    let mut in_comment = false;
    let mut found = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let comment = COMMENT.captures(line).map(|parts| !parts[1].trim().is_empty());
        let begins = comment == Some(true) && !in_comment;
        in_comment = comment == Some(true);
        if [words, phrases, types].iter().any(|rule| rule.is_match(line))
            || begins && questions.is_match(line)
        {
            found.push((number + 1, line.trim()));
        }
    }
    found
}

fn visit(path: &Path, found: &mut BTreeMap<String, Vec<String>>) {
    if path.is_dir() {
        let name = path.file_name().unwrap_or_default();
        if name != "target" && name != "node_modules" {
            for entry in fs::read_dir(path).unwrap() {
                visit(&entry.unwrap().path(), found);
            }
        }
        return;
    }
    let relative = path.strip_prefix(root()).unwrap().to_string_lossy().into_owned();
    let is_script = relative.starts_with("scripts/") || relative.starts_with(".ci/");
    let ending = path.extension().unwrap_or_default().to_string_lossy().into_owned();
    if !is_script && !ENDINGS.contains(&ending.as_str()) || EXEMPT.iter().any(|end| relative.ends_with(end)) {
        return;
    }
    let Ok(text) = fs::read_to_string(path) else { return };
    let group: Vec<&str> = relative.split('/').collect();
    let group = if group[0] == "crates" { format!("crates/{}", group[1]) } else { group[0].to_owned() };
    for (line, text) in faults(&text) {
        found.entry(group.clone()).or_default().push(format!("{relative}:{line}: {text}"));
    }
}

#[test]
fn the_project_is_written_in_plain_english() {
    let mut found = BTreeMap::new();
    for folder in FOLDERS {
        if root().join(folder).exists() {
            visit(&root().join(folder), &mut found);
        }
    }
    for entry in fs::read_dir(root()).unwrap() {
        let path = entry.unwrap().path();
        if path.is_file() {
            visit(&path, &mut found);
        }
    }
    let mut wrong = Vec::new();
    for (group, lines) in &found {
        let allowed = REMAINING.iter().find(|(name, _)| name == group).map_or(0, |(_, count)| *count);
        if lines.len() > allowed {
            wrong.push(format!(
                "{group}: {} lines, {allowed} allowed\n    {}",
                lines.len(),
                lines.join("\n    ")
            ));
        }
    }
    for (group, allowed) in REMAINING {
        let count = found.get(group).map_or(0, Vec::len);
        if count < allowed {
            wrong.push(format!("{group}: {count} lines are left. Lower its number in REMAINING."));
        }
    }
    assert!(wrong.is_empty(), "use plain words, see CONTRIBUTING.md:\n{}", wrong.join("\n"));
}

#[test]
fn each_rule_finds_its_fault_and_passes_plain_text() {
    for text in [
        "fn who_is_told() {}",
        "let toldAll = 1;",
        "impl TellAnew {}",
        "// Runs it anew.",
        "a gateway as everyone",
        "pub(crate) struct Place {",
        "/// Whether it is open.",
        "-- What it holds.",
    ] {
        assert_eq!(faults(text).len(), 1, "{text}");
    }
    for text in
        ["/// True if it is open,\n/// whether or not it is locked.", "struct Placement;", "// intolerable"]
    {
        assert_eq!(faults(text), [], "{text}");
    }
}
