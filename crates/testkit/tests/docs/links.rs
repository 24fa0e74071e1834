//! Links between pages.

use std::collections::BTreeSet;

use crate::page::{INDEX, Page, pages, root};

/// Returns the anchor of a heading, in the form that GitHub gives it.
fn anchor(heading: &str) -> String {
    let stays = |c: &char| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_');
    heading.to_lowercase().chars().filter(stays).map(|c| if c == ' ' { '-' } else { c }).collect()
}

fn anchors(page: &Page) -> Vec<String> {
    let headings = page.prose().into_iter().filter(|line| line.starts_with('#'));
    headings.map(|line| anchor(line.trim_start_matches('#').trim())).collect()
}

#[test]
fn every_link_leads_to_a_file_and_a_heading() {
    let mut links = 0;
    for page in pages() {
        for link in page.links() {
            let path = root().join(&link.path);
            assert!(path.exists(), "{}: the link to {} leads nowhere", page.path, link.target);
            if !link.anchor.is_empty() {
                let text = std::fs::read_to_string(&path).unwrap();
                let found = anchors(&Page { path: link.path, text });
                assert!(
                    found.contains(&link.anchor),
                    "{}: no heading #{} in {found:?}",
                    page.path,
                    link.anchor
                );
            }
            links += 1;
        }
    }
    assert!(links > 200, "{links}");
}

#[test]
fn every_page_is_reachable_from_the_index() {
    let pages = pages();
    let (mut reached, mut open) = (BTreeSet::new(), vec![INDEX.to_owned()]);
    while let Some(path) = open.pop() {
        if !reached.insert(path.clone()) {
            continue;
        }
        let page = pages.iter().find(|page| page.path == path);
        open.extend(page.into_iter().flat_map(Page::links).map(|link| link.path));
    }
    let missing: Vec<&str> =
        pages.iter().map(|page| page.path.as_str()).filter(|path| !reached.contains(*path)).collect();
    assert!(missing.is_empty(), "{INDEX} leads to none of {missing:?}");
}

#[test]
fn every_image_is_used() {
    let used: BTreeSet<String> = pages().iter().flat_map(Page::links).map(|link| link.path).collect();
    for name in crate::page::names_in("docs/images") {
        assert!(used.contains(&format!("docs/images/{name}")), "no page shows docs/images/{name}");
    }
}

#[test]
fn contents_list_every_section() {
    for page in pages().iter().filter(|page| page.path.starts_with("docs/")) {
        let own: BTreeSet<String> = page
            .links()
            .into_iter()
            .filter(|link| link.target.starts_with('#'))
            .map(|link| link.anchor)
            .collect();
        let sections: Vec<String> = page
            .prose()
            .into_iter()
            .filter_map(|line| line.strip_prefix("## "))
            .map(|heading| anchor(heading.trim()))
            .collect();
        let listed = sections.iter().filter(|section| own.contains(*section)).count();
        // A page without a list of contents may link to single sections.
        if listed > 2 {
            let missing: Vec<_> = sections.iter().filter(|section| !own.contains(*section)).collect();
            assert!(missing.is_empty(), "{}: the list of contents lacks {missing:?}", page.path);
        }
    }
}
