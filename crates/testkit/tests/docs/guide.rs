//! `docs/adding-an-endpoint.md`, followed by machine.

use std::{collections::BTreeSet, env, fs, path::PathBuf};

use crate::page::{Block, Page, names_in, read, root};

const GUIDE: &str = "docs/adding-an-endpoint.md";

/// One step: what a file becomes.
struct Step {
    path: String,
    block: Block,
}

fn steps() -> Vec<Step> {
    let page = Page { path: GUIDE.to_owned(), text: read(GUIDE) };
    let step = |block: Block| {
        let path = block.value("file").or_else(|| block.value("append"))?.to_owned();
        Some(Step { path, block })
    };
    let steps: Vec<Step> = page.blocks().into_iter().filter_map(step).collect();
    assert!(steps.len() > 10, "{}", steps.len());
    steps
}

impl Step {
    /// What the file is after the step.
    fn done(&self, before: Option<&str>) -> String {
        let block = &self.block;
        if block.value("append").is_some() {
            return before.unwrap_or_else(|| panic!("{}: nothing to add to", self.path)).to_owned() + &block.text;
        }
        if block.info.first().is_some_and(|language| language == "diff") {
            return self.edited(before.unwrap_or_else(|| panic!("{}: nothing to change", self.path)));
        }
        assert!(before.is_none(), "{}: is there already", self.path);
        block.text.clone()
    }

    /// The lines that stay must be found, together and once.
    fn edited(&self, before: &str) -> String {
        let stay: Vec<&str> = self.block.text.lines().filter_map(|line| line.strip_prefix(' ')).collect();
        let after: Vec<&str> = self.block.text.lines().map(|line| line.get(1..).unwrap_or_default()).collect();
        let (stay, after) = (stay.join("\n"), after.join("\n"));
        assert_eq!(before.matches(&stay).count(), 1, "{} has this not once:\n{stay}", self.path);
        before.replace(&stay, &after)
    }
}

#[test]
fn every_step_fits_the_project() {
    for step in steps() {
        let before = fs::read_to_string(root().join(&step.path)).ok();
        let after = step.done(before.as_deref());
        assert_ne!(before.as_deref(), Some(after.as_str()), "{} is as before", step.path);
    }
}

#[test]
fn the_migration_comes_last() {
    let of = |step: &Step| step.path.strip_prefix("crates/registry/migrations/")?.split('/').next().map(str::to_owned);
    let new = steps().iter().find_map(of).unwrap();
    for there in names_in("crates/registry/migrations") {
        assert!(there < new, "{there} comes after {new}");
    }
}

/// The names that a text takes from `root`: the leaves of its `use` trees, and what stands behind `root::`.
fn names_of(root: &str, text: &str) -> BTreeSet<String> {
    let word = |text: &str| text.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect::<String>();
    let mut names = BTreeSet::new();
    for (at, _) in text.match_indices(&format!("{root}::")) {
        let before = text[..at].chars().next_back();
        if before.is_some_and(|c| c.is_alphanumeric() || c == '_' || c == ':') {
            continue;
        }
        let path = &text[at..];
        let end = path.find(|c: char| !c.is_alphanumeric() && !matches!(c, '_' | ':' | '{' | '}' | ',' | ' ' | '\n'));
        let tree = path[..end.unwrap_or(path.len())].split(['\n', ';']).take_while(|line| !line.is_empty());
        let tree = if path.contains('{') && path[..path.find([';', '(']).unwrap_or(0)].contains('{') {
            path.split(';').next().unwrap_or_default().to_owned()
        } else {
            tree.take(1).collect()
        };
        names.extend(tree.split(|c: char| !c.is_alphanumeric() && c != '_').map(word).filter(|name| name.len() > 1));
    }
    names.remove(root);
    names.remove("self");
    names
}

fn sources(krate: &str) -> String {
    let mut folders = vec![root().join("crates").join(krate).join("src")];
    let mut text = String::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                text.push_str(&fs::read_to_string(path).unwrap());
            }
        }
    }
    text
}

/// Whether something public has the name.
fn is_public(sources: &str, name: &str) -> bool {
    let words = |line: &str| line.split(|c: char| !c.is_alphanumeric() && c != '_').any(|word| word == name);
    sources.lines().any(|line| (line.contains("pub ") || line.contains("short_id!")) && words(line))
        || sources.contains(&format!("\n    {name},"))
        || sources.contains(&format!("    {name}\n"))
}

#[test]
fn what_the_guide_uses_is_there() {
    let text: String = steps().iter().map(|step| step.block.text.as_str()).collect();
    let mut seen = 0;
    for krate in ["kit", "domain", "testkit"] {
        let sources = sources(krate);
        for name in names_of(krate, &text) {
            assert!(is_public(&sources, &name), "{GUIDE} uses {krate}::..::{name}, which is not there");
            seen += 1;
        }
    }
    assert!(seen > 25, "{seen}");
    let registry = sources("registry");
    for name in ["hold", "live"] {
        assert!(registry.contains(&format!("pub(crate) async fn {name}(")), "platforms has no {name}");
    }
}

/// Writes the steps into the copy of the project that `CHECK_TREE` names.
#[test]
#[ignore = "changes files; part of scripts/check-docs"]
fn is_followed() {
    let tree = PathBuf::from(env::var_os("CHECK_TREE").expect("CHECK_TREE is the copy of the project"));
    assert_ne!(tree.canonicalize().unwrap(), root(), "not the project itself");
    for step in steps() {
        let path = tree.join(&step.path);
        let after = step.done(fs::read_to_string(&path).ok().as_deref());
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, after).unwrap();
    }
}
