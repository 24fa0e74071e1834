//! Dependencies between templates: each must have a matching version, and they must not form a cycle.
//!
//! The nodes of the graph are templates, not versions. An edge exists as long as an active version declares the
//! dependency, for any range. A cycle is therefore rejected even if its ranges never match together; deprecating the old
//! version removes its edges.

use std::collections::{HashMap, HashSet};

use database::Conn;
use diesel::{QueryableByName, sql_query, sql_types};
use diesel_async::RunQueryDsl;
use domain::{Fault, Result, Slug, Version, template::TemplateStatus};
use stack_definition::Dependency;

use super::{model::PublishVersion, rules::DEFINITION, store};

/// Advisory lock for adding edges. Without it, two concurrent publishers could close a cycle that neither sees.
const LOCK: i64 = 0x6e6e_6f5f_6465_7073;

#[derive(QueryableByName)]
struct Cycle {
    #[diesel(sql_type = sql_types::BigInt)]
    ordinal: i64,
}

/// Locks the graph until the transaction ends. Lock it before any template, so that two publishers cannot deadlock.
pub(super) async fn lock_graph(mut c: &Conn) -> Result<()> {
    sql_query("SELECT pg_advisory_xact_lock($1)").bind::<sql_types::BigInt, _>(LOCK).execute(&mut c).await?;
    Ok(())
}

/// Finds the dependencies that form a cycle or match no active version.
pub(super) async fn find_faults(c: &Conn, template: &Slug, new: &PublishVersion) -> Result<Vec<Fault>> {
    let names: Vec<&str> = new.depends_on().iter().map(|one| one.template().as_str()).collect();
    let cycles = cycles(c, template, &names).await?;
    let mut templates: HashMap<Slug, (TemplateStatus, Vec<Version>)> = HashMap::new();
    for (name, status, version) in store::active_of(c, &names).await? {
        templates.entry(name).or_insert_with(|| (status, Vec::new())).1.extend(version);
    }
    let fault = |(index, one): (usize, &Dependency)| {
        let (field, message) = if cycles.contains(&index) {
            ("template", format!("must not depend on '{template}' itself"))
        } else {
            unresolved(one, templates.get(one.template()))?
        };
        Some(Fault::new(format!("{DEFINITION}/dependsOn/{index}/{field}"), message))
    };
    Ok(new.depends_on().iter().enumerate().filter_map(fault).collect())
}

/// The field and the message of the fault of a dependency, if it matches no active version.
fn unresolved(
    dependency: &Dependency,
    template: Option<&(TemplateStatus, Vec<Version>)>,
) -> Option<(&'static str, String)> {
    let range = dependency.version_range();
    match template {
        None => Some(("template", "is not a known template".to_owned())),
        Some((TemplateStatus::Deprecated, _)) => Some(("template", "is a deprecated template".to_owned())),
        Some((TemplateStatus::Active, versions)) if versions.iter().any(|one| range.matches(one)) => None,
        Some((TemplateStatus::Active, versions)) => {
            let newest = versions.iter().max_by_key(|one| (one.is_stable(), *one));
            let newest =
                newest.map_or_else(|| "none is active".to_owned(), |one| format!("the newest is {one}"));
            let name = dependency.template();
            Some(("versionRange", format!("must contain an active version of '{name}': {newest}")))
        }
    }
}

/// The indexes of the names whose dependencies lead back to the template.
async fn cycles(mut c: &Conn, template: &Slug, names: &[&str]) -> Result<HashSet<usize>> {
    let cycles: Vec<Cycle> = sql_query(
        "WITH RECURSIVE reached (ordinal, name) AS ( \
             SELECT ordinal, name FROM unnest($1) WITH ORDINALITY AS own (name, ordinal) \
           UNION \
             SELECT reached.ordinal, next.name FROM reached \
             JOIN stack_templates t ON t.name = reached.name \
             JOIN stack_versions v ON v.template_id = t.id AND v.status = 'active' AND v.depends_on <> '{}' \
             CROSS JOIN unnest(v.depends_on) AS next (name) \
             WHERE reached.name <> $2 \
         ) SELECT ordinal FROM reached WHERE name = $2",
    )
    .bind::<sql_types::Array<sql_types::Text>, _>(names)
    .bind::<sql_types::Text, _>(template)
    .load(&mut c)
    .await?;
    // PostgreSQL counts from one.
    Ok(cycles.into_iter().filter_map(|cycle| usize::try_from(cycle.ordinal - 1).ok()).collect())
}
