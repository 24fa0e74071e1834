//! The pages of the documentation and the commands in them.

use std::{collections::BTreeSet, fs, os::unix::fs::symlink, path::Path};

use crate::{
    system::TestSystem,
    user::{CommandOutput, User, mode},
};

/// A fenced code block.
pub(crate) struct Block {
    /// Info string after the opening fence.
    pub(crate) info: String,
    pub(crate) text: String,
}

/// Reads a page.
pub(crate) fn documentation(path: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(path)).unwrap()
}

/// Returns the fenced code blocks of a page.
pub(crate) fn blocks(page: &str) -> Vec<Block> {
    let inside = page.split("\n```").skip(1).step_by(2);
    inside
        .map(|block| {
            let (info, text) = block.split_once('\n').unwrap();
            Block { info: info.to_owned(), text: format!("{text}\n") }
        })
        .collect()
}

/// Splits a text into lines of words. Ids and times, which differ between runs, are replaced by their kind, and the width
/// of columns is ignored.
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
fn only_ids_times_and_column_widths_may_differ() {
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
    let system = TestSystem::new();
    let up = system.start().await;
    let platform = up.create_platform("acme").await;
    let mut user = User::new().with("NNO_URL", &up.url).with("PLATFORM", &platform);
    symlink(system.data(), user.home().join(".nno")).unwrap();
    let page = documentation("docs/user-guide/access.md");
    let blocks = blocks(&page);
    let mut seen = BTreeSet::new();
    for pair in blocks.windows(2).filter(|pair| pair[0].info == "sh cli") {
        let [call, shown] = pair else { unreachable!() };
        assert_eq!(shown.info, "text output", "{}", call.text);
        let CommandOutput { code, out, err } =
            user.command("sh").args(["-euc", &call.text]).output().unwrap().into();
        let output = out + &err;
        let shown = shown.text.replace(ADDRESS, &up.url).replace(PLATFORM, &platform);
        assert_eq!((code, words(&output)), (0, words(&shown)), "{}\n{output}", call.text);
        if let Some(id) = output.split_whitespace().find(|word| words(word) == [["an id"]]) {
            user.set("ID", id);
        }
        let commands = call.text.lines().filter_map(|line| line.strip_prefix("nno ")?.split(' ').next());
        seen.extend(commands.map(str::to_owned));
    }
    let all = ["can", "keys", "login", "logout", "whoami"];
    assert!(seen.iter().eq(all.iter()), "{seen:?}");
    assert_eq!(mode(&user.home().join("ci.key")), 0o600);
    up.stop().await;
}
