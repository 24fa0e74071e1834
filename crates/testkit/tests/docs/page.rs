//! Parsing of the pages of the documentation.

use std::{
    fs,
    path::{Path, PathBuf},
};

/// The index of the documentation.
pub(crate) const INDEX: &str = "docs/README.md";
/// Pages outside of `docs`, in reading order.
const OTHER_PAGES: [&str; 6] =
    ["README.md", "CONTRIBUTING.md", "SECURITY.md", "CODE_OF_CONDUCT.md", "CHANGELOG.md", "bench/README.md"];

/// A page with its path in the project.
#[derive(Clone)]
pub(crate) struct Page {
    pub(crate) path: String,
    pub(crate) text: String,
}

/// A fenced block: the words after its opening fence, and its lines.
pub(crate) struct Block {
    pub(crate) info: Vec<String>,
    pub(crate) text: String,
}

/// Returns the folder of the project.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

/// Returns the text of a file of the project.
pub(crate) fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Returns the names of the entries of a folder, sorted.
pub(crate) fn names_in(path: &str) -> Vec<String> {
    let entries = fs::read_dir(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"));
    let mut names: Vec<String> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// Adds the paths of all pages below a folder, sorted.
fn collect(folder: &str, paths: &mut Vec<String>) {
    for name in names_in(folder) {
        let path = format!("{folder}/{name}");
        if root().join(&path).is_dir() {
            collect(&path, paths);
        } else if name.ends_with(".md") {
            paths.push(path);
        }
    }
}

/// Returns every page in reading order: README, the other pages of the project, and those below `docs` in the order in
/// which the index links them.
pub(crate) fn pages() -> Vec<Page> {
    let mut paths = Vec::new();
    collect("docs", &mut paths);
    let index = Page { path: INDEX.to_owned(), text: read(INDEX) };
    let linked: Vec<String> = index.links().into_iter().map(|link| link.path).collect();
    paths.sort_by_key(|path| linked.iter().position(|one| one == path).unwrap_or(usize::MAX));
    OTHER_PAGES
        .iter()
        .map(|path| (*path).to_owned())
        .chain(paths)
        .map(|path| Page { text: read(&path), path })
        .collect()
}

/// A relative link of a page.
pub(crate) struct Link {
    /// The link as it is written.
    pub(crate) target: String,
    /// The path in the project that the link leads to.
    pub(crate) path: String,
    /// The anchor after `#`, or an empty text.
    pub(crate) anchor: String,
}

/// Returns the path that `target` leads to from a page, without `.` and `..`.
fn resolve(page: &str, target: &str) -> String {
    let mut parts: Vec<&str> = page.split('/').collect();
    parts.pop();
    for part in target.split('/') {
        match part {
            "." => {}
            ".." => assert!(parts.pop().is_some(), "{page}: the link to {target} leaves the project"),
            part => parts.push(part),
        }
    }
    parts.join("/")
}

impl Page {
    /// Returns the fenced blocks.
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

    /// Returns the lines outside of blocks.
    pub(crate) fn prose(&self) -> Vec<&str> {
        let mut inside = false;
        let outside = |line: &&str| {
            let fence = line.starts_with("```");
            inside ^= fence;
            !inside && !fence
        };
        self.text.lines().filter(outside).collect()
    }

    /// Returns the texts in backticks outside of blocks.
    pub(crate) fn quoted(&self) -> Vec<&str> {
        self.prose().into_iter().flat_map(|line| line.split('`').skip(1).step_by(2)).collect()
    }

    /// Returns the relative links, images among them.
    pub(crate) fn links(&self) -> Vec<Link> {
        let prose = self.prose().join("\n");
        let targets = prose.split("](").skip(1).filter_map(|rest| rest.split(')').next());
        targets
            .filter(|target| !target.starts_with("http"))
            .map(|target| {
                let (path, anchor) = target.split_once('#').unwrap_or((target, ""));
                let path = if path.is_empty() { self.path.clone() } else { resolve(&self.path, path) };
                Link { target: target.to_owned(), path, anchor: anchor.to_owned() }
            })
            .collect()
    }
}

impl Block {
    /// Returns true if the opening fence has this language and then this word.
    pub(crate) fn is(&self, language: &str, word: &str) -> bool {
        matches!(self.info.as_slice(), [first, second, ..] if first == language && second == word)
    }

    /// Returns true if the opening fence has this language and no other word.
    pub(crate) fn is_language(&self, language: &str) -> bool {
        matches!(self.info.as_slice(), [only] if only == language)
    }
}

#[test]
fn links_resolve_relative_to_their_page() {
    let text = "[a](../b.md#c-d) [e](#f) [g](./h/i.md) ![j](k.svg) [l](https://m)".to_owned();
    let links = Page { path: "docs/x/y.md".to_owned(), text }.links();
    let links: Vec<_> = links.iter().map(|link| (link.path.as_str(), link.anchor.as_str())).collect();
    assert_eq!(
        links,
        [("docs/b.md", "c-d"), ("docs/x/y.md", "f"), ("docs/x/h/i.md", ""), ("docs/x/k.svg", "")]
    );
}
