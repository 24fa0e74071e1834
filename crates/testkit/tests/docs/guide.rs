//! The guide for a new endpoint, compared with the generator that it describes.

use crate::page::{Page, names_in, read, root};

const GUIDE: &str = "docs/adding-an-endpoint.md";
const TEMPLATES: &str = "crates/xtask/templates";

fn guide() -> Page {
    Page { path: GUIDE.to_owned(), text: read(GUIDE) }
}

/// Returns the code that the generator writes for notes, before formatting.
fn generated() -> String {
    let templates = names_in(TEMPLATES).into_iter().map(|name| read(&format!("{TEMPLATES}/{name}")));
    let forms = [("${plural}", "notes"), ("${Plural}", "Notes"), ("${Singular}", "Note")];
    forms
        .iter()
        .fold(templates.collect(), |text: String, (placeholder, form)| text.replace(placeholder, form))
}

#[test]
fn guide_quotes_the_generated_code() {
    let generated = generated();
    let quoted: Vec<_> = guide().blocks().into_iter().filter(|block| block.is_language("rust")).collect();
    assert!(!quoted.is_empty());
    for block in quoted {
        assert!(
            generated.contains(&block.text),
            "{GUIDE} quotes code that the generator does not write:\n{}",
            block.text
        );
    }
}

#[test]
fn guide_is_short() {
    let lines = read(GUIDE).lines().count();
    assert!(lines <= 250, "{GUIDE} has {lines} lines");
}

#[test]
fn every_file_of_the_folder_has_a_section() {
    let guide = guide();
    let headings: Vec<&str> = guide.prose().into_iter().filter(|line| line.starts_with("## ")).collect();
    for file in ["model.rs", "store.rs", "ops.rs", "http.rs", "mod.rs"] {
        assert!(root().join(TEMPLATES).join(file).exists(), "the generator has no {file}");
        let quoted = format!("`{file}`");
        assert!(headings.iter().any(|heading| heading.contains(&quoted)), "{GUIDE} has no section on {file}");
    }
}
