//! A new resource of platforms: the files that it consists of, and the lines that list it.

use std::{fs, path::Path, process::Command};

use anyhow::{Context, Result, bail, ensure};
use chrono::Utc;

use crate::{
    edit::{with_entry, with_module},
    names::Names,
};

/// Services whose resources have the form of the templates.
const SERVICES: [&str; 1] = ["registry"];

/// The templates of the folder.
const FOLDER: [(&str, &str); 5] = [
    ("mod.rs", include_str!("../templates/mod.rs")),
    ("model.rs", include_str!("../templates/model.rs")),
    ("store.rs", include_str!("../templates/store.rs")),
    ("ops.rs", include_str!("../templates/ops.rs")),
    ("http.rs", include_str!("../templates/http.rs")),
];
const UP: &str = include_str!("../templates/up.sql");
const DOWN: &str = include_str!("../templates/down.sql");
const SCHEMA: &str = include_str!("../templates/schema.rs");
const TEST: &str = include_str!("../templates/test.rs");

/// Writes the resource, and returns the paths of the files that are new or changed.
///
/// # Errors
/// When the service is unknown, the name is taken, or the project does not have the expected form. Then nothing is
/// written.
pub(crate) fn write(root: &Path, service: &str, names: &Names) -> Result<Vec<String>> {
    ensure!(
        SERVICES.contains(&service),
        "There is no service '{service}' with resources of platforms. Use one of: {}.",
        SERVICES.join(", ")
    );
    let files = files(root, service, names)?;
    for (path, text) in &files {
        let path = root.join(path);
        let folder = path.parent().context("a file without a folder")?;
        fs::create_dir_all(folder).with_context(|| format!("Cannot create {}.", folder.display()))?;
        fs::write(&path, text).with_context(|| format!("Cannot write {}.", path.display()))?;
    }
    format(root, &files)?;
    Ok(files.into_iter().map(|(path, _)| path).collect())
}

/// Every file with its text.
fn files(root: &Path, service: &str, names: &Names) -> Result<Vec<(String, String)>> {
    let (krate, plural) = (format!("crates/{service}"), &names.plural);
    let taken = [
        format!("{krate}/src/{plural}"),
        format!("{krate}/src/{plural}.rs"),
        format!("{krate}/tests/api/{plural}.rs"),
    ];
    if let Some(path) = taken.iter().find(|path| root.join(path).exists()) {
        bail!("The name '{plural}' is taken: {path} exists already.");
    }
    let migration =
        format!("{krate}/migrations/{}", migration(&root.join(&krate).join("migrations"), plural)?);
    let mut files: Vec<(String, String)> = FOLDER
        .iter()
        .map(|(file, template)| (format!("{krate}/src/{plural}/{file}"), names.fill(template)))
        .collect();
    files.push((format!("{migration}/up.sql"), names.fill(UP)));
    files.push((format!("{migration}/down.sql"), names.fill(DOWN)));
    files.push((format!("{krate}/tests/api/{plural}.rs"), names.fill(TEST)));
    let mut change = |path: String, change: &dyn Fn(&str) -> Result<String>| -> Result<()> {
        let before = fs::read_to_string(root.join(&path)).with_context(|| format!("Cannot read {path}."))?;
        let after = change(&before).with_context(|| format!("Cannot add '{plural}' to {path}."))?;
        files.push((path, after));
        Ok(())
    };
    change(format!("{krate}/src/schema.rs"), &|file| {
        ensure!(!file.contains(&format!("\n    {plural} (")), "The table '{plural}' exists already.");
        Ok(format!("{file}{}", names.fill(SCHEMA)))
    })?;
    change(format!("{krate}/src/lib.rs"), &|file| with_module(file, plural, None))?;
    let slice = format!("crate::{plural}::SLICE");
    change(format!("{krate}/src/slices.rs"), &|file| with_entry(file, "pub(crate) const ALL", &slice))?;
    change(format!("{krate}/tests/api/main.rs"), &|file| with_module(file, plural, Some("#[cfg(test)]")))?;
    let cases = format!("crate::{plural}::CASES");
    change(format!("{krate}/tests/api/operation.rs"), &|file| with_entry(file, "const ALL", &cases))?;
    Ok(files)
}

/// The name of a migration that comes after all others.
#[expect(clippy::disallowed_methods, reason = "the day on which someone writes it; no clock of a service")]
fn migration(folder: &Path, plural: &str) -> Result<String> {
    let entries = fs::read_dir(folder).with_context(|| format!("Cannot read {}.", folder.display()))?;
    let mut last = Utc::now().format("%Y%m%d000000").to_string();
    for entry in entries {
        let name = entry?.file_name().to_string_lossy().into_owned();
        let (number, rest) = name.split_once('_').unwrap_or_default();
        ensure!(rest != plural, "The migration {name} exists already.");
        if number > last.as_str() {
            number.clone_into(&mut last);
        }
    }
    let last: u64 = last.parse().context("a migration's name begins with a number")?;
    Ok(format!("{}_{plural}", last + 1000))
}

/// Formats the new Rust files: where lines break depends on the length of the name.
fn format(root: &Path, files: &[(String, String)]) -> Result<()> {
    let is_new =
        |path: &&String| path.ends_with("/mod.rs") || path.contains("/tests/") && !path.ends_with("/main.rs");
    let mut rustfmt = Command::new("rustfmt");
    rustfmt.current_dir(root).args(["--edition", "2024"]);
    rustfmt.args(files.iter().map(|(path, _)| path).filter(is_new));
    let status = rustfmt.status().context("Cannot run rustfmt.")?;
    ensure!(status.success(), "rustfmt failed. Run cargo fmt.");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A copy of the registry, to write to.
    fn project() -> tempfile::TempDir {
        let own = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let copy = tempfile::tempdir().unwrap();
        fs::create_dir(copy.path().join("crates")).unwrap();
        let (from, to) = (own.join("crates/registry"), copy.path().join("crates"));
        let status = Command::new("cp").arg("-R").args([from, to]).status().unwrap();
        assert!(status.success());
        fs::copy(own.join("rustfmt.toml"), copy.path().join("rustfmt.toml")).unwrap();
        copy
    }

    #[test]
    fn a_resource_is_written_once() {
        let project = project();
        let names = Names::new("notes", None).unwrap();
        let written = write(project.path(), "registry", &names).unwrap();
        for path in &written {
            let text = fs::read_to_string(project.path().join(path)).unwrap();
            assert!(text.contains("note"), "{path} does not name the resource");
            assert!(!text.contains("${"), "{path} has a placeholder that nothing fills in");
        }
        let error = write(project.path(), "registry", &names).unwrap_err().to_string();
        assert!(error.starts_with("The name 'notes' is taken: crates/registry/src/notes exists"), "{error}");
    }

    #[test]
    fn its_migration_comes_last() {
        let project = project();
        let folder = project.path().join("crates/registry/migrations");
        fs::create_dir(folder.join("99990101000000_future")).unwrap();
        assert_eq!(migration(&folder, "notes").unwrap(), "99990101001000_notes");
        assert!(migration(&folder, "future").unwrap_err().to_string().contains("exists already"));
    }

    #[test]
    fn a_name_that_is_taken_writes_nothing() {
        let project = project();
        let before = fs::read_to_string(project.path().join("crates/registry/src/lib.rs")).unwrap();
        for taken in ["stacks", "slices", "secrets"] {
            let error = write(project.path(), "registry", &Names::new(taken, None).unwrap()).unwrap_err();
            assert!(error.to_string().contains("taken"), "{error}");
        }
        // A table without a folder.
        let table = Names::new("lifecycle_events", None).unwrap();
        let error = format!("{:#}", write(project.path(), "registry", &table).unwrap_err());
        assert!(error.contains("The table 'lifecycle_events' exists already."), "{error}");
        assert_eq!(fs::read_to_string(project.path().join("crates/registry/src/lib.rs")).unwrap(), before);
    }

    #[test]
    fn an_unknown_service_is_rejected_by_name() {
        let names = Names::new("notes", None).unwrap();
        let error = write(Path::new("/"), "billing", &names).unwrap_err().to_string();
        assert_eq!(error, "There is no service 'billing' with resources of platforms. Use one of: registry.");
    }
}
