//! Pages of the documentation, and the commands that they show.

use std::{collections::BTreeSet, fs, os::unix::fs::symlink, path::Path};

use crate::{
    person::{Person, Said, mode},
    system::Place,
};

/// A fenced block.
pub(crate) struct Block {
    /// What is behind its opening fence.
    pub(crate) info: String,
    pub(crate) text: String,
}

/// The text of a page.
pub(crate) fn documentation(path: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(path)).unwrap()
}

pub(crate) fn blocks(page: &str) -> Vec<Block> {
    let inside = page.split("\n```").skip(1).step_by(2);
    inside
        .map(|block| {
            let (info, text) = block.split_once('\n').unwrap();
            Block { info: info.to_owned(), text: format!("{text}\n") }
        })
        .collect()
}

/// The words of a text, where those that no two runs have in common stand for their kind. Columns may be as wide as
/// they come out.
fn words(text: &str) -> Vec<Vec<String>> {
    let kind = |word: &str| {
        let shape: String = word.chars().map(|c| if c.is_ascii_hexdigit() { 'x' } else { c }).collect();
        let is = |form: &str| shape.trim_end_matches(['.', ',']) == form;
        if is("xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx") {
            "an id".to_owned()
        } else if is("xxxx-xx-xx") || is("xxxx-xx-xxTxx:xx:xx.xxxZ") {
            "a date".to_owned()
        } else if is("xx:xxZ") {
            "a time".to_owned()
        } else {
            word.to_owned()
        }
    };
    text.lines().map(|line| line.split_whitespace().map(kind).collect()).collect()
}

#[test]
fn what_is_like_what() {
    let (id, other) = ("01a1fdf5-b0a2-7c31-a9d5-7a3f3c1f40aa", "01a1fdf5-b0a2-7c31-a9d5-7a3f3c1f40ab");
    assert_eq!(
        words(&format!("Key  {id} 2026-11-21 11:54Z")),
        words(&format!("Key {other} 2027-01-01 00:00Z"))
    );
    for (one, other) in [("Key", "key"), ("a\nb", "a b"), (id, "x"), ("yes a", "no a")] {
        assert_ne!(words(one), words(other));
    }
}

#[tokio::test]
async fn commands_of_the_access_page_print_what_it_shows() {
    const ADDRESS: &str = "http://127.0.0.1:8080";
    const PLATFORM: &str = "k3m9p2xw7q";
    let place = Place::new();
    let up = place.up().await;
    let platform = up.make_platform("acme").await;
    let mut person = Person::new().with("NNO_URL", &up.url).with("PLATFORM", &platform);
    symlink(place.data(), person.home().join(".nno")).unwrap();
    let page = documentation("docs/user-guide/access.md");
    let blocks = blocks(&page);
    let mut seen = BTreeSet::new();
    for pair in blocks.windows(2).filter(|pair| pair[0].info == "sh cli") {
        let [call, shown] = pair else { unreachable!() };
        assert_eq!(shown.info, "text output", "{}", call.text);
        let Said { code, out, err } =
            person.command("sh").args(["-euc", &call.text]).output().unwrap().into();
        let came = out + &err;
        let shown = shown.text.replace(ADDRESS, &up.url).replace(PLATFORM, &platform);
        assert_eq!((code, words(&came)), (0, words(&shown)), "{}\n{came}", call.text);
        if let Some(id) = came.split_whitespace().find(|word| words(word) == [["an id"]]) {
            person.set("ID", id);
        }
        let commands = call.text.lines().filter_map(|line| line.strip_prefix("nno ")?.split(' ').next());
        seen.extend(commands.map(str::to_owned));
    }
    let all = ["can", "keys", "login", "logout", "whoami"];
    assert!(seen.iter().eq(all.iter()), "{seen:?}");
    assert_eq!(mode(&person.home().join("ci.key")), 0o600);
    up.stop().await;
}
