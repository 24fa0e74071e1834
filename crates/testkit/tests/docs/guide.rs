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
            return before.unwrap_or_else(|| panic!("{}: nothing to add to", self.path)).to_owned()
                + &block.text;
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
        let after: Vec<&str> =
            self.block.text.lines().map(|line| line.get(1..).unwrap_or_default()).collect();
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
    let of = |step: &Step| {
        step.path.strip_prefix("crates/registry/migrations/")?.split('/').next().map(str::to_owned)
    };
    let new = steps().iter().find_map(of).unwrap();
    for there in names_in("crates/registry/migrations") {
        assert!(there < new, "{there} comes after {new}");
    }
}

/// The names that a text takes from a crate: in its `use` statements, and in paths that begin with the crate.
fn names_of(krate: &str, text: &str) -> BTreeSet<String> {
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    let start = format!("{krate}::");
    let uses = text.split("\nuse ").skip(1).filter_map(|rest| rest.split(';').next());
    let paths = text.split(|c: char| !is_word(c) && c != ':');
    let taken = uses.chain(paths).filter(|path| path.starts_with(&start));
    let words = taken.flat_map(|path| path.split(|c: char| !is_word(c))).filter(|word| !word.is_empty());
    words.filter(|word| *word != krate && *word != "self").map(str::to_owned).collect()
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
    let has = |line: &str| line.split(|c: char| !c.is_alphanumeric() && c != '_').any(|word| word == name);
    sources.lines().any(|line| line.trim_start().starts_with("pub ") && has(line))
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
