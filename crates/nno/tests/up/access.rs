//! `nno login`, `logout`, `whoami`, `keys` and `can`.

use std::{fs, path::Path};

use serde_json::{Value, json};

use crate::{
    system::{TestSystem, Up},
    user::{CommandOutput, User, mode},
};

const UNREACHABLE_URL: &str = "http://127.0.0.1:9";

/// Creates a key and returns its id and the key.
fn create_key(operator: &User, args: &[&str]) -> (String, String) {
    let created = operator.nno(&[&["keys", "create"], args].concat());
    assert_eq!(created.code, 0, "{created:?}");
    let id = created.err.split_whitespace().nth(2).unwrap().to_owned();
    (id, created.out.trim().to_owned())
}

#[tokio::test]
async fn access_commands_work() {
    let system = TestSystem::new();
    let up = system.start().await;
    let platform = up.create_platform("acme").await;
    let operator = User::new();
    operator.log_in(&up.url, &format!("{}\n", up.operator_key()));
    check_stored_credentials(&up, &operator);
    check_keys(&up, &operator, &platform);
    check_exit_codes_of_can(&up, &operator, &platform);
    check_precedence(&up, &operator, &platform);
    check_several_servers(&up);
    check_stack_commands(&up, &operator);
    up.stop().await;
}

fn check_stored_credentials(up: &Up, operator: &User) {
    let (file, key) = (operator.credentials(), up.operator_key());
    assert_eq!((mode(&file), mode(file.parent().unwrap())), (0o600, 0o700));
    let server = json!({ &up.url: { "key": key } });
    assert_eq!(operator.stored(), json!({ "current": up.url, "servers": server }));

    let output = operator.stdout_of(&["whoami"]);
    let url = &up.url;
    let expected = format!(
        "caller    operator\nknown by  the operator's key, stored by nno login\nat        {url}\n\nROLE      REACHES\n\
         operator  all platforms\n"
    );
    assert_eq!(output, expected);
    let grants = json!([{ "role": "operator", "platformId": null, "entityId": null }]);
    let expected = json!({ "id": "operator", "actorType": "operator", "grants": grants });
    assert_eq!(operator.json(&["whoami"]), expected);

    for mode in [0o644, 0o640, 0o622] {
        operator.set_credentials_mode(mode);
        for command in [&["whoami"][..], &["keys", "list"], &["logout"], &["stack", "publish", "."]] {
            let CommandOutput { code, out, err } = operator.nno(command);
            assert_eq!((code, out.as_str()), (2, ""), "{command:?}");
            assert!(err.contains("open to other users") && err.contains("chmod 600"), "{err}");
            assert!(!err.contains(&key), "{err}");
        }
        let rejected = operator.nno_with_stdin(&["login", "--url", url, "--key-stdin"], &key);
        assert!(rejected.code == 2 && rejected.err.contains("chmod 600"), "{rejected:?}");
        assert_eq!(self::mode(&operator.credentials()), mode, "the mode is not changed");
    }
    operator.set_credentials_mode(0o600);
    assert_eq!(operator.nno(&["whoami"]).code, 0);

    // A rejected key does not replace a stored one.
    let before = operator.stored();
    let CommandOutput { code, out, err } = operator.nno_with_stdin(&["login", "--key-stdin"], "unknown-key");
    assert_eq!((code, out.as_str()), (3, ""));
    assert!(err.starts_with("nno: 401 UNAUTHORIZED: ") && err.contains("(request "), "{err}");
    assert!(err.contains(url) && !err.contains("unknown-key"), "{err}");
    for (key, why) in [("", "printable"), ("two words", "printable"), ("näh", "printable")] {
        let rejected = operator.nno_with_stdin(&["login", "--key-stdin"], key);
        assert!(rejected.code == 2 && rejected.err.contains(why), "{rejected:?}");
    }
    assert_eq!(operator.stored(), before);
}

fn check_keys(up: &Up, operator: &User, platform: &str) {
    let create = |args: &[&str]| operator.nno(&[&["keys", "create"], args].concat());
    let created = create(&["ci", "--role", "developer", "--platform", platform, "--expires-in-days", "90"]);
    assert_eq!(created.code, 0, "{created:?}");
    let key = created.out.strip_suffix('\n').unwrap();
    assert!(key.starts_with("nno_") && !key.contains(char::is_whitespace), "stdout has only the key: {key}");
    assert!(created.err.contains(&format!("is developer of platform {platform}, until ")), "{}", created.err);
    assert!(created.err.contains("not shown again") && !created.err.contains(key), "{}", created.err);
    let id = created.err.split_whitespace().nth(2).unwrap();

    let ci = User::new();
    ci.log_in(&up.url, key);
    let output = ci.stdout_of(&["whoami"]);
    assert!(
        output.contains(&format!("caller    apikey:{id}\nknown by  an API key, stored by nno login\n")),
        "{output}"
    );
    assert!(output.contains(&format!("developer  platform {platform}\n")), "{output}");

    let listed = operator.stdout_of(&["keys", "list"]);
    let lines: Vec<&str> = listed.lines().collect();
    assert!(lines[0].starts_with("ID ") && lines[0].contains("NAME  ROLE       REACHES"), "{listed}");
    assert!(lines[1].starts_with(&format!("{id}  ci    developer  platform {platform}")), "{listed}");
    let listed = operator.json(&["keys", "list"]);
    assert_eq!((&listed["data"][0]["id"], &listed["pagination"]["total"]), (&json!(id), &json!(1)));
    assert_eq!(operator.json(&["keys", "list", "--platform", "aaaaaaaaaa"])["data"], json!([]));

    // An error of the server is printed with its code and request id.
    let CommandOutput { code, out, err } =
        ci.nno(&["keys", "create", "more", "--role", "viewer", "--platform", platform]);
    assert_eq!((code, out.as_str()), (3, ""));
    assert!(err.starts_with("nno: 403 FORBIDDEN: ") && err.contains("(request "), "{err}");
    // Faults have the names of the options.
    for (name, platform, option) in [("", platform, "\n  NAME: "), ("x", "no platform", "\n  --platform: ")] {
        let invalid = create(&[name, "--role", "viewer", "--platform", platform]);
        assert!(
            invalid.err.starts_with("nno: 400 VALIDATION_ERROR: ") && invalid.err.contains(option),
            "{invalid:?}"
        );
        assert_eq!((invalid.code, invalid.out.as_str()), (3, ""));
    }
    for (args, why) in [
        (&["x"][..], "--role"),
        (&["x", "--role", "king"], "viewer, developer, platform-admin, operator"),
        (&["x", "--role", "viewer", "--entity", "aaaaaaaaaa"], "--platform"),
        (&["x", "--role", "viewer", "--expires-in-days", "0"], "1..=3650"),
    ] {
        let rejected = create(args);
        assert!(rejected.code == 2 && rejected.err.contains(why), "{rejected:?}");
    }

    assert_eq!(operator.stdout_of(&["keys", "revoke", id]), format!("Key {id} is revoked.\n"));
    let CommandOutput { code, err, .. } = ci.nno(&["whoami"]);
    assert_eq!(code, 3);
    assert!(err.contains("401 UNAUTHORIZED") && err.contains("not valid any more"), "{err}");
    assert!(err.contains(&format!("nno login --url {}", up.url)), "{err}");
    assert_eq!(operator.json(&["keys", "list"])["data"], json!([]));
    let all = operator.stdout_of(&["keys", "list", "--include-revoked"]);
    assert!(all.contains(id) && all.contains("revoked 20"), "{all}");
    let again = operator.nno(&["keys", "revoke", "00000000-0000-0000-0000-000000000000"]);
    assert!(again.code == 3 && again.err.contains("404 NOT_FOUND"), "{again:?}");
    for id in ["../bindings/x", "ci"] {
        assert_eq!(operator.nno(&["keys", "revoke", id]).code, 2, "{id}");
    }
    check_pagination(operator);

    // A key that cannot be printed is reported.
    let mut command = operator.command("nno");
    command
        .args(["keys", "create", "lost", "--role", "viewer"])
        .stdout(fs::File::create("/dev/full").unwrap());
    let lost = CommandOutput::from(command.output().unwrap());
    assert_eq!(lost.code, 2);
    assert!(lost.err.contains("cannot print the key") && lost.err.contains("nno keys revoke "), "{lost:?}");
}

fn check_pagination(operator: &User) {
    let create = |n: usize| {
        let created = {
            let created = operator.nno(&[
                "keys",
                "create",
                &format!("key-{n}"),
                "--role",
                "viewer",
                "--output",
                "json",
            ]);
            serde_json::from_str::<Value>(&created.out).unwrap()
        };
        assert!(created["key"].as_str().unwrap().starts_with("nno_"), "{created}");
    };
    (0..101).for_each(create);
    let first = operator.nno(&["keys", "list"]);
    assert_eq!((first.code, first.out.lines().count()), (0, 101));
    assert_eq!(first.err, "nno: 100 of 101 keys shown; use --all to list all\n");
    let all = operator.stdout_of(&["keys", "list", "--all"]);
    assert!(all.lines().count() == 102 && all.contains("key-0 "), "{all}");
    let all = operator.json(&["keys", "list", "--all"]);
    let mut names: Vec<&Value> = all["data"].as_array().unwrap().iter().map(|key| &key["name"]).collect();
    names.dedup();
    assert_eq!((names.len(), &all["pagination"]["hasMore"]), (101, &json!(false)));
}

fn check_exit_codes_of_can(up: &Up, operator: &User, platform: &str) {
    let (_, key) = create_key(operator, &["viewer", "--role", "viewer", "--platform", platform]);
    let viewer = User::new();
    viewer.log_in(&up.url, &key);
    let scope = ["--platform", platform];
    let can = |args: &[&str]| viewer.nno(&[&["can"], args, &scope].concat());
    let yes = can(&["getPlatform", "listEntities"]);
    let why = format!("You are viewer of platform '{platform}'.");
    let expected = format!("yes  getPlatform   {why}\nyes  listEntities  {why}\n");
    assert_eq!((yes.code, yes.out, yes.err.as_str()), (0, expected, ""));
    let no = can(&["getPlatform", "createEntity"]);
    let needs = format!("This action requires the role developer. You are viewer of platform '{platform}'.");
    let expected = format!("yes  getPlatform   {why}\nno   createEntity  {needs}\n");
    assert_eq!((no.code, no.out, no.err.as_str()), (1, expected, ""));
    let json = viewer.nno(&["can", "createPlatform", "--output", "json"]);
    let body: Value = serde_json::from_str(&json.out).unwrap();
    assert_eq!((json.code, &body["results"][0]["allowed"]), (1, &json!(false)));
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
        &["can", "getEntity", "--url", UNREACHABLE_URL],
        &["can", "getEntity"],
    ] {
        let CommandOutput { code, out, err } = viewer.nno(args);
        assert_eq!((code, out.as_str()), (2, ""), "{args:?} {err}");
    }
    let platform_needed = viewer.nno(&["can", "getEntity"]);
    assert!(platform_needed.err.contains("\n  getEntity: --platform: "), "{platform_needed:?}");
    let unknown_key =
        User::new().with("NNO_URL", &up.url).with("NNO_KEY", "unknown-key").nno(&["can", "whoami"]);
    assert!(
        unknown_key.code == 2 && unknown_key.err.contains("the key in NNO_KEY is not valid"),
        "{unknown_key:?}"
    );
}

fn check_precedence(up: &Up, operator: &User, platform: &str) {
    let (id, key) = create_key(operator, &["other", "--role", "viewer", "--platform", platform]);
    let file = operator.home().join("key");
    fs::write(&file, format!("{}\n", up.operator_key())).unwrap();
    let mut user = User::new();
    user.log_in(&up.url, &up.operator_key());
    let caller = |user: &User, args: &[&str]| user.json(&[&["whoami"], args].concat())["id"].clone();
    assert_eq!(caller(&user, &[]), "operator");
    user.set("NNO_KEY", &key);
    assert_eq!(caller(&user, &[]), format!("apikey:{id}"), "at the stored address");
    assert!(user.stdout_of(&["whoami"]).contains("known by  an API key, in NNO_KEY\n"));
    assert_eq!(caller(&user, &["--key-file", file.to_str().unwrap()]), "operator");
    user.set("NNO_KEY", "");
    assert_eq!(caller(&user, &[]), "operator", "an empty variable is ignored");

    user.set("NNO_URL", UNREACHABLE_URL);
    let rejected = user.nno(&["whoami"]);
    assert!(
        rejected.code == 2
            && rejected.err.contains("no key for http://127.0.0.1:9: store one with `nno login"),
        "{rejected:?}"
    );
    assert_eq!(caller(&user, &["--url", &up.url]), "operator", "an option takes precedence over a variable");
    assert_eq!(caller(&user, &["--url", &format!("{}/", up.url)]), "operator");
    user.set("NNO_KEY", &key);
    let unreachable = user.nno(&["whoami"]);
    assert!(unreachable.code == 3 && unreachable.err.contains("cannot reach"), "{unreachable:?}");

    // With URL and key given, the stored credentials are not read.
    user.set("NNO_URL", &up.url);
    user.set_credentials_mode(0o644);
    assert_eq!(caller(&user, &[]), format!("apikey:{id}"));
    user.set_credentials_mode(0o600);
    let noted = user.nno(&["logout"]);
    assert!(noted.code == 0 && noted.err.contains("NNO_KEY is set"), "{noted:?}");
    assert_eq!(caller(&user, &[]), format!("apikey:{id}"), "the variable is still set");
    user.unset("NNO_KEY");
    assert_eq!(user.nno(&["whoami"]).code, 2);
}

fn check_several_servers(up: &Up) {
    let (key, other) = (up.operator_key(), up.url.replace("127.0.0.1", "localhost"));
    let config = tempfile::tempdir().unwrap();
    let user = User::new().with("XDG_CONFIG_HOME", config.path().to_str().unwrap());
    let not_logged_in = user.nno(&["whoami"]);
    assert_eq!(not_logged_in.code, 2);
    assert!(
        not_logged_in.err.contains("no key for http://127.0.0.1:8080: store one with `nno login --url"),
        "{not_logged_in:?}"
    );
    assert!(!not_logged_in.err.contains("Keys are stored"), "{not_logged_in:?}");
    assert_eq!(user.stdout_of(&["logout"]), "Not logged in to http://127.0.0.1:8080.\n");
    assert_eq!(user.stdout_of(&["logout", "--all"]), "Not logged in anywhere.\n");
    assert!(!config.path().join("nno").exists(), "no folder is created without a key");

    user.log_in(&up.url, &key);
    user.log_in(&other, &key);
    assert!(!user.credentials().exists() && config.path().join("nno/credentials.json").exists());
    assert!(
        user.stdout_of(&["whoami"]).contains(&format!("at        {other}\n")),
        "the last login is current"
    );
    assert!(user.stdout_of(&["whoami", "--url", &up.url]).contains(&format!("at        {}\n", up.url)));
    assert_eq!(user.stdout_of(&["logout"]), format!("Logged out of {other}.\n"));
    assert_eq!(user.stdout_of(&["logout", "--url", &other]), format!("Not logged in to {other}.\n"));
    assert_eq!(user.nno(&["whoami", "--url", &other]).code, 2);
    let no_key = user.nno(&["whoami"]);
    assert!(no_key.err.contains(&format!("Keys are stored for {}: choose", up.url)), "{no_key:?}");
    assert_eq!(user.nno(&["whoami", "--url", &up.url]).code, 0, "the other key stays");
    user.log_in(&other, &key);
    let mut lines: Vec<String> = user.stdout_of(&["logout", "--all"]).lines().map(str::to_owned).collect();
    lines.sort();
    let mut expected = [&up.url, &other].map(|url| format!("Logged out of {url}."));
    expected.sort();
    assert_eq!(lines, expected);
    let text = fs::read_to_string(config.path().join("nno/credentials.json")).unwrap();
    assert!(!text.contains(&key), "the key is removed: {text}");

    // A relative HOME is ignored.
    let homeless =
        User::new().with("HOME", "nowhere").nno_with_stdin(&["login", "--url", &up.url, "--key-stdin"], &key);
    assert!(homeless.code == 2 && homeless.err.contains("HOME"), "{homeless:?}");
}

fn check_stack_commands(up: &Up, operator: &User) {
    let catalogue = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../catalogue/identity");
    let publish = ["stack", "publish", catalogue.to_str().unwrap(), "--dry-run"];
    let output = operator.stdout_of(&publish);
    assert!(output.contains("identity 1.0.1: template would be created"), "{output}");
    let unknown_key = User::new().with("NNO_URL", &up.url);
    let rejected = unknown_key.nno(&publish);
    assert!(rejected.code == 2 && rejected.err.contains("nno login"), "{rejected:?}");
    let rejected = unknown_key.with("NNO_KEY", "unknown-key").nno(&publish);
    assert_eq!(rejected.code, 3);
    assert!(rejected.out.contains("401 UNAUTHORIZED") && rejected.out.contains("(request "), "{rejected:?}");
}

#[test]
fn key_is_never_an_argument() {
    let user = User::new();
    for args in [
        &["login", "--key", "hush"][..],
        &["login", "hush"],
        &["whoami", "--key", "hush"],
        &["stack", "publish", "x", "--key", "hush"],
    ] {
        assert_eq!(user.nno(args).code, 2, "{args:?}");
    }
    let help = user.stdout_of(&["login", "--help"]);
    assert!(help.contains("--key-stdin") && !help.contains("--key "), "{help}");
    let both = user.nno(&["login", "--key-stdin", "--key-file", "x"]);
    assert!(both.code == 2 && both.err.contains("cannot be used with"), "{both:?}");
    let missing = user.nno(&["login", "--key-file", "gone"]);
    assert!(missing.code == 2 && missing.err.contains("cannot read gone"), "{missing:?}");
    let no_terminal = user.nno(&["login"]);
    assert!(no_terminal.code == 2 && no_terminal.err.contains("--key-stdin"), "{no_terminal:?}");
}
