//! The pages of the documentation, read.

use std::{
    fs,
    path::{Path, PathBuf},
};

/// A page, by its path in the project.
pub(crate) struct Page {
    pub(crate) path: String,
    pub(crate) text: String,
}

/// A fenced block: the words behind its opening fence, and its lines.
pub(crate) struct Block {
    pub(crate) info: Vec<String>,
    pub(crate) text: String,
}

/// The project.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

/// A file of the project.
pub(crate) fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// What is in a folder of the project, by name.
pub(crate) fn names_in(path: &str) -> Vec<String> {
    let entries = fs::read_dir(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"));
    let mut names: Vec<String> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// Every page, README first.
pub(crate) fn pages() -> Vec<Page> {
    let mut paths = vec!["README.md".to_owned(), "CONTRIBUTING.md".to_owned()];
    for folder in ["docs", "docs/errors"] {
        let names = names_in(folder).into_iter().filter(|name| name.ends_with(".md"));
        paths.extend(names.map(|name| format!("{folder}/{name}")));
    }
    paths.into_iter().map(|path| Page { text: read(&path), path }).collect()
}

impl Page {
    /// Its fenced blocks.
    pub(crate) fn blocks(&self) -> Vec<Block> {
        let (mut blocks, mut open) = (Vec::new(), None::<Block>);
        for line in self.text.lines() {
            match (line.strip_prefix("```"), &mut open) {
                (Some(info), None) => {
                    let info = info.split_whitespace().map(str::to_owned).collect();
                    open = Some(Block { info, text: String::new() });
                }
                (Some(_), Some(_)) => blocks.extend(open.take()),
                (None, Some(block)) => block.text.extend([line, "\n"]),
                (None, None) => {}
            }
        }
        assert!(open.is_none(), "{}: a block is not closed", self.path);
        blocks
    }

    /// Its lines outside of blocks.
    pub(crate) fn prose(&self) -> Vec<&str> {
        let mut inside = false;
        let outside = |line: &&str| {
            let fence = line.starts_with("```");
            inside ^= fence;
            !inside && !fence
        };
        self.text.lines().filter(outside).collect()
    }

    /// What stands in backticks outside of blocks.
    pub(crate) fn quoted(&self) -> Vec<&str> {
        self.prose().into_iter().flat_map(|line| line.split('`').skip(1).step_by(2)).collect()
    }
}

impl Block {
    /// Whether it is opened with this word behind its language.
    pub(crate) fn is(&self, language: &str, word: &str) -> bool {
        matches!(self.info.as_slice(), [first, second, ..] if first == language && second == word)
    }

    /// Whether it is opened with this language, and no word behind it.
    pub(crate) fn is_language(&self, language: &str) -> bool {
        matches!(self.info.as_slice(), [only] if only == language)
    }
}
