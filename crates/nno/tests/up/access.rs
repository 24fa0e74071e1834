//! `nno login`, `logout`, `whoami`, `keys` and `can`.

use std::{fs, path::Path};

use serde_json::{Value, json};

use crate::{
    person::{Person, Said, mode},
    system::{Place, Up},
};

const NOBODY_THERE: &str = "http://127.0.0.1:9";

/// Makes a key as the operator does; answers its id and the key.
fn make_key(operator: &Person, args: &[&str]) -> (String, String) {
    let made = operator.nno(&[&["keys", "create"], args].concat());
    assert_eq!(made.code, 0, "{made:?}");
    let id = made.err.split_whitespace().nth(2).unwrap().to_owned();
    (id, made.out.trim().to_owned())
}

#[tokio::test]
async fn access_from_the_command_line() {
    let place = Place::new();
    let up = place.up().await;
    let platform = up.make_platform("acme").await;
    let operator = Person::new();
    operator.log_in(&up.url, &format!("{}\n", up.operator_key()));
    what_is_kept(&up, &operator);
    keys_are_made_listed_and_revoked(&up, &operator, &platform);
    answers_are_codes(&up, &operator, &platform);
    what_was_given_goes_before_what_is_kept(&up, &operator, &platform);
    several_servers(&up);
    stack_commands_use_it_too(&up, &operator);
    up.stop().await;
}

fn what_is_kept(up: &Up, operator: &Person) {
    let (file, key) = (operator.credentials(), up.operator_key());
    assert_eq!((mode(&file), mode(file.parent().unwrap())), (0o600, 0o700));
    let server = json!({ &up.url: { "key": key } });
    assert_eq!(operator.kept(), json!({ "current": up.url, "servers": server }));

    let told = operator.told(&["whoami"]);
    let url = &up.url;
    let expected = format!(
        "caller    operator\nknown by  the operator's key, kept by nno login\nat        {url}\n\nROLE      REACHES\n\
         operator  all platforms\n"
    );
    assert_eq!(told, expected);
    let grants = json!([{ "role": "operator", "platformId": null, "entityId": null }]);
    let expected = json!({ "id": "operator", "actorType": "operator", "grants": grants });
    assert_eq!(operator.json(&["whoami"]), expected);

    for mode in [0o644, 0o640, 0o622] {
        operator.let_others_read(mode);
        for command in [&["whoami"][..], &["keys", "list"], &["logout"], &["stack", "publish", "."]] {
            let Said { code, out, err } = operator.nno(command);
            assert_eq!((code, out.as_str()), (2, ""), "{command:?}");
            assert!(err.contains("open to other users") && err.contains("chmod 600"), "{err}");
            assert!(!err.contains(&key), "{err}");
        }
        let refused = operator.nno_given(&["login", "--url", url, "--key-stdin"], &key);
        assert!(refused.code == 2 && refused.err.contains("chmod 600"), "{refused:?}");
        assert_eq!(self::mode(&operator.credentials()), mode, "it was left as it is");
    }
    operator.let_others_read(0o600);
    assert_eq!(operator.nno(&["whoami"]).code, 0);

    // What is refused takes the place of nothing.
    let before = operator.kept();
    let Said { code, out, err } = operator.nno_given(&["login", "--key-stdin"], "of-a-stranger");
    assert_eq!((code, out.as_str()), (3, ""));
    assert!(err.starts_with("nno: 401 UNAUTHORIZED: ") && err.contains("(request "), "{err}");
    assert!(err.contains(url) && !err.contains("of-a-stranger"), "{err}");
    for (key, why) in [("", "printable"), ("two words", "printable"), ("näh", "printable")] {
        let refused = operator.nno_given(&["login", "--key-stdin"], key);
        assert!(refused.code == 2 && refused.err.contains(why), "{refused:?}");
    }
    assert_eq!(operator.kept(), before);
}

fn keys_are_made_listed_and_revoked(up: &Up, operator: &Person, platform: &str) {
    let create = |args: &[&str]| operator.nno(&[&["keys", "create"], args].concat());
    let made = create(&["ci", "--role", "developer", "--platform", platform, "--expires-in-days", "90"]);
    assert_eq!(made.code, 0, "{made:?}");
    let key = made.out.strip_suffix('\n').unwrap();
    assert!(key.starts_with("nno_") && !key.contains(char::is_whitespace), "the key alone: {key}");
    assert!(made.err.contains(&format!("is developer of platform {platform}, until ")), "{}", made.err);
    assert!(made.err.contains("not shown again") && !made.err.contains(key), "{}", made.err);
    let id = made.err.split_whitespace().nth(2).unwrap();

    let ci = Person::new();
    ci.log_in(&up.url, key);
    let told = ci.told(&["whoami"]);
    assert!(
        told.contains(&format!("caller    apikey:{id}\nknown by  an API key, kept by nno login\n")),
        "{told}"
    );
    assert!(told.contains(&format!("developer  platform {platform}\n")), "{told}");

    let listed = operator.told(&["keys", "list"]);
    let lines: Vec<&str> = listed.lines().collect();
    assert!(lines[0].starts_with("ID ") && lines[0].contains("NAME  ROLE       REACHES"), "{listed}");
    assert!(lines[1].starts_with(&format!("{id}  ci    developer  platform {platform}")), "{listed}");
    let listed = operator.json(&["keys", "list"]);
    assert_eq!((&listed["data"][0]["id"], &listed["pagination"]["total"]), (&json!(id), &json!(1)));
    assert_eq!(operator.json(&["keys", "list", "--platform", "aaaaaaaaaa"])["data"], json!([]));

    // One who may not is told what the server says.
    let Said { code, out, err } =
        ci.nno(&["keys", "create", "more", "--role", "viewer", "--platform", platform]);
    assert_eq!((code, out.as_str()), (3, ""));
    assert!(err.starts_with("nno: 403 FORBIDDEN: ") && err.contains("(request "), "{err}");
    // What is wrong is told by what was typed.
    for (name, platform, told) in [("", platform, "\n  NAME: "), ("x", "no platform", "\n  --platform: ")] {
        let wrong = create(&[name, "--role", "viewer", "--platform", platform]);
        assert!(
            wrong.err.starts_with("nno: 400 VALIDATION_ERROR: ") && wrong.err.contains(told),
            "{wrong:?}"
        );
        assert_eq!((wrong.code, wrong.out.as_str()), (3, ""));
    }
    for (args, why) in [
        (&["x"][..], "--role"),
        (&["x", "--role", "king"], "viewer, developer, platform-admin, operator"),
        (&["x", "--role", "viewer", "--entity", "aaaaaaaaaa"], "--platform"),
        (&["x", "--role", "viewer", "--expires-in-days", "0"], "1..=3650"),
    ] {
        let refused = create(args);
        assert!(refused.code == 2 && refused.err.contains(why), "{refused:?}");
    }

    assert_eq!(operator.told(&["keys", "revoke", id]), format!("Key {id} is revoked.\n"));
    let Said { code, err, .. } = ci.nno(&["whoami"]);
    assert_eq!(code, 3);
    assert!(err.contains("401 UNAUTHORIZED") && err.contains("not valid any more"), "{err}");
    assert!(err.contains(&format!("nno login --url {}", up.url)), "{err}");
    assert_eq!(operator.json(&["keys", "list"])["data"], json!([]));
    let all = operator.told(&["keys", "list", "--include-revoked"]);
    assert!(all.contains(id) && all.contains("revoked 20"), "{all}");
    let again = operator.nno(&["keys", "revoke", "00000000-0000-0000-0000-000000000000"]);
    assert!(again.code == 3 && again.err.contains("404 NOT_FOUND"), "{again:?}");
    for id in ["../bindings/x", "ci"] {
        assert_eq!(operator.nno(&["keys", "revoke", id]).code, 2, "{id}");
    }
    pages_are_followed(operator);

    // A key that did not arrive is not taken for one that did.
    let mut command = operator.command("nno");
    command
        .args(["keys", "create", "lost", "--role", "viewer"])
        .stdout(fs::File::create("/dev/full").unwrap());
    let lost = Said::from(command.output().unwrap());
    assert_eq!(lost.code, 2);
    assert!(lost.err.contains("the key is lost") && lost.err.contains("nno keys revoke "), "{lost:?}");
}

fn pages_are_followed(operator: &Person) {
    let make = |n: usize| {
        let made = {
            let made = operator.nno(&[
                "keys",
                "create",
                &format!("key-{n}"),
                "--role",
                "viewer",
                "--output",
                "json",
            ]);
            serde_json::from_str::<Value>(&made.out).unwrap()
        };
        assert!(made["key"].as_str().unwrap().starts_with("nno_"), "{made}");
    };
    (0..101).for_each(make);
    let first = operator.nno(&["keys", "list"]);
    assert_eq!((first.code, first.out.lines().count()), (0, 101));
    assert_eq!(first.err, "nno: 100 of 101 keys; --all lists the others too\n");
    let all = operator.told(&["keys", "list", "--all"]);
    assert!(all.lines().count() == 102 && all.contains("key-0 "), "{all}");
    let all = operator.json(&["keys", "list", "--all"]);
    let mut names: Vec<&Value> = all["data"].as_array().unwrap().iter().map(|key| &key["name"]).collect();
    names.dedup();
    assert_eq!((names.len(), &all["pagination"]["hasMore"]), (101, &json!(false)));
}

fn answers_are_codes(up: &Up, operator: &Person, platform: &str) {
    let (_, key) = make_key(operator, &["viewer", "--role", "viewer", "--platform", platform]);
    let viewer = Person::new();
    viewer.log_in(&up.url, &key);
    let of = ["--platform", platform];
    let can = |args: &[&str]| viewer.nno(&[&["can"], args, &of].concat());
    let yes = can(&["getPlatform", "listEntities"]);
    let why = format!("You are viewer of platform '{platform}'.");
    let expected = format!("yes  getPlatform   {why}\nyes  listEntities  {why}\n");
    assert_eq!((yes.code, yes.out, yes.err.as_str()), (0, expected, ""));
    let no = can(&["getPlatform", "createEntity"]);
    let needs = format!("This needs the role developer, and you are viewer of platform '{platform}'.");
    let expected = format!("yes  getPlatform   {why}\nno   createEntity  {needs}\n");
    assert_eq!((no.code, no.out, no.err.as_str()), (1, expected, ""));
    let told = viewer.nno(&["can", "createPlatform", "--output", "json"]);
    let answer: Value = serde_json::from_str(&told.out).unwrap();
    assert_eq!((told.code, &answer["results"][0]["allowed"]), (1, &json!(false)));
    let below = viewer.nno(&["can", "getEntity", "--platform", platform, "--entity", "aaaaaaaaaa"]);
    assert_eq!(below.code, 0, "{below:?}");

    let unknown = can(&["getPlatform", "flyToTheMoon"]);
    assert_eq!((unknown.code, unknown.out.as_str()), (2, ""));
    assert!(
        unknown.err.contains("400 VALIDATION_ERROR") && unknown.err.contains("\n  flyToTheMoon: "),
        "{unknown:?}"
    );
    for args in [
        &["can"][..],
        &["can", "getEntity", "--entity", "aaaaaaaaaa"],
        &["can", "getEntity", "--url", NOBODY_THERE],
        &["can", "getEntity"],
    ] {
        let Said { code, out, err } = viewer.nno(args);
        assert_eq!((code, out.as_str()), (2, ""), "{args:?} {err}");
    }
    let platform_needed = viewer.nno(&["can", "getEntity"]);
    assert!(platform_needed.err.contains("\n  getEntity: --platform: "), "{platform_needed:?}");
    let stranger =
        Person::new().with("NNO_URL", &up.url).with("NNO_KEY", "of-a-stranger").nno(&["can", "whoami"]);
    assert!(stranger.code == 2 && stranger.err.contains("the key in NNO_KEY is not valid"), "{stranger:?}");
}

fn what_was_given_goes_before_what_is_kept(up: &Up, operator: &Person, platform: &str) {
    let (id, key) = make_key(operator, &["other", "--role", "viewer", "--platform", platform]);
    let file = operator.home().join("key");
    fs::write(&file, format!("{}\n", up.operator_key())).unwrap();
    let mut person = Person::new();
    person.log_in(&up.url, &up.operator_key());
    let caller = |person: &Person, args: &[&str]| person.json(&[&["whoami"], args].concat())["id"].clone();
    assert_eq!(caller(&person, &[]), "operator");
    person.set("NNO_KEY", &key);
    assert_eq!(caller(&person, &[]), format!("apikey:{id}"), "at the address that is kept");
    assert!(person.told(&["whoami"]).contains("known by  an API key, in NNO_KEY\n"));
    assert_eq!(caller(&person, &["--key-file", file.to_str().unwrap()]), "operator");
    person.set("NNO_KEY", "");
    assert_eq!(caller(&person, &[]), "operator", "an empty one is none");

    person.set("NNO_URL", NOBODY_THERE);
    let refused = person.nno(&["whoami"]);
    assert!(
        refused.code == 2 && refused.err.contains("no key for http://127.0.0.1:9: `nno login"),
        "{refused:?}"
    );
    assert_eq!(caller(&person, &["--url", &up.url]), "operator", "an option goes before a variable");
    assert_eq!(caller(&person, &["--url", &format!("{}/", up.url)]), "operator");
    person.set("NNO_KEY", &key);
    let unreachable = person.nno(&["whoami"]);
    assert!(unreachable.code == 3 && unreachable.err.contains("cannot be asked"), "{unreachable:?}");

    // With both given, what is kept does not matter.
    person.set("NNO_URL", &up.url);
    person.let_others_read(0o644);
    assert_eq!(caller(&person, &[]), format!("apikey:{id}"));
    person.let_others_read(0o600);
    let noted = person.nno(&["logout"]);
    assert!(noted.code == 0 && noted.err.contains("NNO_KEY is set"), "{noted:?}");
    assert_eq!(caller(&person, &[]), format!("apikey:{id}"), "the variable is still there");
    person.unset("NNO_KEY");
    assert_eq!(person.nno(&["whoami"]).code, 2);
}

fn several_servers(up: &Up) {
    let (key, other) = (up.operator_key(), up.url.replace("127.0.0.1", "localhost"));
    let config = tempfile::tempdir().unwrap();
    let person = Person::new().with("XDG_CONFIG_HOME", config.path().to_str().unwrap());
    let nobody = person.nno(&["whoami"]);
    assert_eq!(nobody.code, 2);
    assert!(nobody.err.contains("no key for http://127.0.0.1:8080: `nno login --url"), "{nobody:?}");
    assert!(!nobody.err.contains("Keys are kept"), "{nobody:?}");
    assert_eq!(person.told(&["logout"]), "Not logged in to http://127.0.0.1:8080.\n");
    assert_eq!(person.told(&["logout", "--all"]), "Not logged in anywhere.\n");
    assert!(!config.path().join("nno").exists(), "nothing is made where nothing is kept");

    person.log_in(&up.url, &key);
    person.log_in(&other, &key);
    assert!(!person.credentials().exists() && config.path().join("nno/credentials.json").exists());
    assert!(person.told(&["whoami"]).contains(&format!("at        {other}\n")), "the last one");
    assert!(person.told(&["whoami", "--url", &up.url]).contains(&format!("at        {}\n", up.url)));
    assert_eq!(person.told(&["logout"]), format!("Logged out of {other}.\n"));
    assert_eq!(person.told(&["logout", "--url", &other]), format!("Not logged in to {other}.\n"));
    assert_eq!(person.nno(&["whoami", "--url", &other]).code, 2);
    let elsewhere = person.nno(&["whoami"]);
    assert!(elsewhere.err.contains(&format!("Keys are kept for {}: choose", up.url)), "{elsewhere:?}");
    assert_eq!(person.nno(&["whoami", "--url", &up.url]).code, 0, "the other is kept");
    person.log_in(&other, &key);
    let mut lines: Vec<String> = person.told(&["logout", "--all"]).lines().map(str::to_owned).collect();
    lines.sort();
    let mut expected = [&up.url, &other].map(|url| format!("Logged out of {url}."));
    expected.sort();
    assert_eq!(lines, expected);
    let text = fs::read_to_string(config.path().join("nno/credentials.json")).unwrap();
    assert!(!text.contains(&key), "nothing of it is left: {text}");

    // A home that is none of these is not guessed.
    let homeless =
        Person::new().with("HOME", "nowhere").nno_given(&["login", "--url", &up.url, "--key-stdin"], &key);
    assert!(homeless.code == 2 && homeless.err.contains("HOME"), "{homeless:?}");
}

fn stack_commands_use_it_too(up: &Up, operator: &Person) {
    let catalogue = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../catalogue/identity");
    let publish = ["stack", "publish", catalogue.to_str().unwrap(), "--dry-run"];
    let told = operator.told(&publish);
    assert!(told.contains("identity 1.0.0: template would be created"), "{told}");
    let stranger = Person::new().with("NNO_URL", &up.url);
    let refused = stranger.nno(&publish);
    assert!(refused.code == 2 && refused.err.contains("nno login"), "{refused:?}");
    let refused = stranger.with("NNO_KEY", "of-a-stranger").nno(&publish);
    assert_eq!(refused.code, 3);
    assert!(refused.out.contains("401 UNAUTHORIZED") && refused.out.contains("(request "), "{refused:?}");
}

#[test]
fn a_key_is_never_an_argument() {
    let person = Person::new();
    for args in [
        &["login", "--key", "hush"][..],
        &["login", "hush"],
        &["whoami", "--key", "hush"],
        &["stack", "publish", "x", "--key", "hush"],
    ] {
        assert_eq!(person.nno(args).code, 2, "{args:?}");
    }
    let help = person.told(&["login", "--help"]);
    assert!(help.contains("--key-stdin") && !help.contains("--key "), "{help}");
    let both = person.nno(&["login", "--key-stdin", "--key-file", "x"]);
    assert!(both.code == 2 && both.err.contains("cannot be used with"), "{both:?}");
    let nowhere = person.nno(&["login", "--key-file", "gone"]);
    assert!(nowhere.code == 2 && nowhere.err.contains("cannot read gone"), "{nowhere:?}");
    let no_terminal = person.nno(&["login"]);
    assert!(no_terminal.code == 2 && no_terminal.err.contains("--key-stdin"), "{no_terminal:?}");
}
