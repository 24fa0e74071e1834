//! Generated parts of pages, between two markers.

use std::{env, fs};

use crate::page::{read, root};

/// Checks that the part `name` of a page is `expected`. With `UPDATE_SNAPSHOTS=1`, writes it instead.
///
/// The part stands between `<!-- generated: name -->` and `<!-- end of name -->`.
#[track_caller]
pub(crate) fn assert_part(path: &str, name: &str, expected: &str) {
    let page = read(path);
    let (start, end) = (format!("<!-- generated: {name} -->\n"), format!("<!-- end of {name} -->"));
    let parts = page.split_once(&start).and_then(|(before, rest)| {
        let (part, after) = rest.split_once(&end)?;
        Some((before, part, after))
    });
    let Some((before, part, after)) = parts else { panic!("{path} has no part between {start}and {end}") };
    let expected = format!("\n{expected}\n");
    if part == expected {
        return;
    }
    assert!(
        env::var_os("UPDATE_SNAPSHOTS").is_some(),
        "{path}: the part '{name}' is out of date. Run the test with UPDATE_SNAPSHOTS=1 and review the change."
    );
    fs::write(root().join(path), format!("{before}{start}{expected}{end}{after}")).unwrap();
}
