//! The page of who may do what, beside the table that it tells of.

use domain::access::{About, OPERATIONS};

use crate::page::read;

#[test]
fn every_operation_is_on_the_page_as_the_table_has_it() {
    let page = read("docs/access.md");
    let (_, section) = page.split_once("\n## Every operation\n").unwrap();
    let rows: Vec<&str> =
        section.lines().filter(|line| line.starts_with("| `") && line.matches('|').count() == 4).collect();
    let told: Vec<String> = OPERATIONS
        .iter()
        .map(|operation| {
            let (least, about) = match operation.about {
                About::Caller => ("anyone known".to_owned(), "the caller"),
                About::Everything => (format!("`{}`", operation.least), "everything"),
                About::Platform => (format!("`{}`", operation.least), "a platform"),
                About::Entity => (format!("`{}`", operation.least), "an entity or its platform"),
            };
            format!("| `{}` | {least} | {about} |", operation.id)
        })
        .collect();
    assert_eq!(rows, told);
}
