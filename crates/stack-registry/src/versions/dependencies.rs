//! Templates depend on templates: on versions that are there, and never in a circle.
//!
//! The graph is that of templates, not of versions: an edge is there as long as some active version has it, whatever
//! its range. So a circle is refused also where two ranges would never meet; deprecating the old version clears it.

use std::collections::{HashMap, HashSet};

use database::Conn;
use diesel::{QueryableByName, sql_query, sql_types};
use diesel_async::RunQueryDsl;
use domain::{Fault, Result, Slug, Version, template::TemplateStatus};
use stack_definition::Dependency;

use super::{model::PublishVersion, rules::DEFINITION, store};

/// Whoever adds edges to the graph holds this lock: two of them could else close a circle that neither sees.
const LOCK: i64 = 0x6e6e_6f5f_6465_7073;

#[derive(QueryableByName)]
struct Circle {
    #[diesel(sql_type = sql_types::BigInt)]
    place: i64,
}

/// Holds the graph until the transaction ends. To be taken before any template, so that two publishers cannot wait
/// for each other.
pub(super) async fn hold(mut c: &Conn) -> Result<()> {
    sql_query("SELECT pg_advisory_xact_lock($1)").bind::<sql_types::BigInt, _>(LOCK).execute(&mut c).await?;
    Ok(())
}

/// A fault for each dependency that leads back to the version's own template, or to no active version of another.
pub(super) async fn faults(c: &Conn, template: &Slug, new: &PublishVersion) -> Result<Vec<Fault>> {
    let names: Vec<&str> = new.depends_on().iter().map(|one| one.template().as_str()).collect();
    let circles = circles(c, template, &names).await?;
    let mut known: HashMap<Slug, (TemplateStatus, Vec<Version>)> = HashMap::new();
    for (name, status, version) in store::active_of(c, &names).await? {
        known.entry(name).or_insert_with(|| (status, Vec::new())).1.extend(version);
    }
    let fault = |(index, one): (usize, &Dependency)| {
        let (field, message) = if circles.contains(&index) {
            ("template", format!("leads back to '{template}'"))
        } else {
            unresolved(one, known.get(one.template()))?
        };
        Some(Fault::new(format!("{DEFINITION}/dependsOn/{index}/{field}"), message))
    };
    Ok(new.depends_on().iter().enumerate().filter_map(fault).collect())
}

/// At which field of the dependency it leads nowhere, and why.
fn unresolved(
    dependency: &Dependency,
    known: Option<&(TemplateStatus, Vec<Version>)>,
) -> Option<(&'static str, String)> {
    let range = dependency.version_range();
    match known {
        None => Some(("template", "is not a known template".to_owned())),
        Some((TemplateStatus::Deprecated, _)) => Some(("template", "is a deprecated template".to_owned())),
        Some((TemplateStatus::Active, versions)) if versions.iter().any(|one| range.matches(one)) => None,
        Some((TemplateStatus::Active, versions)) => {
            let newest = versions.iter().max_by_key(|one| (one.is_stable(), *one));
            let newest =
                newest.map_or_else(|| "none is active".to_owned(), |one| format!("the newest is {one}"));
            let template = dependency.template();
            Some(("versionRange", format!("no active version of '{template}' lies in it: {newest}")))
        }
    }
}

/// Which of the names lead back to the template, by their places.
async fn circles(mut c: &Conn, template: &Slug, names: &[&str]) -> Result<HashSet<usize>> {
    let circles: Vec<Circle> = sql_query(
        "WITH RECURSIVE reached (place, name) AS ( \
             SELECT place, name FROM unnest($1) WITH ORDINALITY AS own (name, place) \
           UNION \
             SELECT reached.place, next.name FROM reached \
             JOIN stack_templates t ON t.name = reached.name \
             JOIN stack_versions v ON v.template_id = t.id AND v.status = 'active' AND v.depends_on <> '{}' \
             CROSS JOIN unnest(v.depends_on) AS next (name) \
             WHERE reached.name <> $2 \
         ) SELECT place FROM reached WHERE name = $2",
    )
    .bind::<sql_types::Array<sql_types::Text>, _>(names)
    .bind::<sql_types::Text, _>(template)
    .load(&mut c)
    .await?;
    // Postgres counts from one.
    Ok(circles.into_iter().filter_map(|circle| usize::try_from(circle.place - 1).ok()).collect())
}
