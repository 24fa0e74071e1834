//! Manifest files.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, ensure};
use domain::Fault;
use serde_json::Value;

/// File names of manifests in folders.
const NAMES: [&str; 3] = ["stack.json", "stack.yaml", "stack.yml"];
/// Folders of dependencies and build outputs, which are skipped.
const SKIPPED: [&str; 2] = ["node_modules", "target"];

/// A file and its parsed content.
#[derive(Debug)]
pub(crate) struct Source {
    pub(crate) file: String,
    pub(crate) value: Result<Value, Fault>,
}

/// Reads the manifests in files and folders, those of a folder in alphabetical order.
///
/// # Errors
/// When a file cannot be read, or a folder has no manifest.
pub(crate) fn find(paths: &[PathBuf]) -> Result<Vec<Source>> {
    let mut files = Vec::new();
    for path in paths {
        let kind = fs::metadata(path).with_context(|| format!("cannot read {}", path.display()))?;
        if kind.is_dir() {
            let before = files.len();
            walk(path, &mut files).with_context(|| format!("cannot read {}", path.display()))?;
            ensure!(files.len() > before, "{} has no {}", path.display(), NAMES.join(", no "));
        } else {
            files.push(path.clone());
        }
    }
    files.iter().map(|path| read(path)).collect()
}

/// Does not follow links, and skips hidden entries.
fn walk(folder: &Path, found: &mut Vec<PathBuf>) -> io::Result<()> {
    let mut entries = fs::read_dir(folder)?.collect::<io::Result<Vec<_>>>()?;
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        let (kind, name) = (entry.file_type()?, entry.file_name());
        let name = name.to_string_lossy();
        if kind.is_dir() && !name.starts_with('.') && !SKIPPED.contains(&&*name) {
            walk(&entry.path(), found)?;
        } else if kind.is_file() && NAMES.contains(&&*name) {
            found.push(entry.path());
        }
    }
    Ok(())
}

fn read(path: &Path) -> Result<Source> {
    let text = fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    let is_json = path.extension().is_some_and(|kind| kind.eq_ignore_ascii_case("json"));
    let value = if is_json { json(&text) } else { yaml(&text) };
    Ok(Source { file: path.display().to_string(), value: value.map_err(|why| Fault::new("", why)) })
}

fn json(text: &str) -> Result<Value, String> {
    serde_json::from_str(text).map_err(|error| format!("is not JSON: {error}"))
}

/// Parses YAML 1.2, where `no` is a string and not false. A duplicate key is an error.
pub(crate) fn yaml(text: &str) -> Result<Value, String> {
    let options = serde_saphyr::options! { strict_booleans: true, with_snippet: false };
    serde_saphyr::from_str_with_options(text, options).map_err(|error| format!("is not YAML: {error}"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn yaml_is_converted_to_json_values() {
        let text = "a: no\nb: true\nc: [1, 1.5, null]\nd: '1'\ne: 1.0.0\nf: |\n  two\n  lines\ng: &x {h: 1}\ni: *x\n";
        let expected = json!({
            "a": "no", "b": true, "c": [1, 1.5, null], "d": "1", "e": "1.0.0", "f": "two\nlines\n",
            "g": { "h": 1 }, "i": { "h": 1 },
        });
        assert_eq!(yaml(text), Ok(expected));
        for bad in ["a: 1\na: 2\n", "a: [", "a: 1\n---\nb: 2\n"] {
            assert!(yaml(bad).unwrap_err().starts_with("is not YAML: "), "{bad}");
        }
    }

    #[test]
    fn exponential_aliases_are_rejected() {
        let mut text = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n".to_owned();
        for n in 1..12 {
            text += &format!("a{n}: &a{n} [{}]\n", vec![format!("*a{}", n - 1); 9].join(", "));
        }
        assert!(yaml(&text).is_err());
    }

    #[test]
    fn folder_is_walked_in_alphabetical_order() {
        let dir = tempfile::tempdir().unwrap();
        for file in [
            "b/stack.json",
            "a/stack.yaml",
            "a/c/stack.yml",
            ".git/stack.json",
            "target/stack.json",
            "x.json",
        ] {
            let path = dir.path().join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "{}").unwrap();
        }
        let found = find(&[dir.path().to_owned(), dir.path().join("x.json")]).unwrap();
        let files: Vec<&str> = found
            .iter()
            .map(|source| source.file.strip_prefix(dir.path().to_str().unwrap()).unwrap())
            .collect();
        assert_eq!(files, ["/a/c/stack.yml", "/a/stack.yaml", "/b/stack.json", "/x.json"]);
        assert!(find(&[dir.path().join(".git")]).is_ok());
        let empty = tempfile::tempdir().unwrap();
        assert!(find(&[empty.path().to_owned()]).unwrap_err().to_string().contains("has no stack.json"));
        assert!(find(&[empty.path().join("gone")]).is_err());
    }
}
