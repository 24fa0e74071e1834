//! Templates depend on templates, and never in a circle.
//!
//! The graph is that of templates, not of versions: an edge is there as long as some active version has it, whatever
//! its range. So a circle is refused also where two ranges would never meet; deprecating the old version clears it.

use diesel::{QueryableByName, sql_query, sql_types};
use diesel_async::RunQueryDsl;
use domain::{Fault, Result, Slug};
use kit::db::Conn;

use super::{model::NewVersion, rules::DEFINITION};

/// Whoever adds edges to the graph holds this lock: two of them could else close a circle that neither sees.
const LOCK: i64 = 0x6e6e_6f5f_6465_7073;

#[derive(QueryableByName)]
struct Circle {
    #[diesel(sql_type = sql_types::BigInt)]
    place: i64,
}

/// Holds the graph until the transaction ends. To be taken before any template, so that two publishers cannot wait
/// for each other.
pub(super) async fn hold(c: &mut Conn) -> Result<()> {
    sql_query("SELECT pg_advisory_xact_lock($1)").bind::<sql_types::BigInt, _>(LOCK).execute(c).await?;
    Ok(())
}

/// A fault for each dependency of the version that leads back to its own template.
pub(super) async fn circles(c: &mut Conn, template: &Slug, row: &NewVersion) -> Result<Vec<Fault>> {
    let circles: Vec<Circle> = sql_query(
        "WITH RECURSIVE reached (place, name) AS ( \
             SELECT place, name FROM unnest($1) WITH ORDINALITY AS own (name, place) \
           UNION \
             SELECT reached.place, next.name FROM reached \
             JOIN stack_templates t ON t.name = reached.name \
             JOIN stack_versions v ON v.template_id = t.id AND v.status = 'active' AND v.depends_on <> '{}' \
             CROSS JOIN unnest(v.depends_on) AS next (name) \
             WHERE reached.name <> $2 \
         ) SELECT place FROM reached WHERE name = $2 ORDER BY place",
    )
    .bind::<sql_types::Array<sql_types::Text>, _>(&row.depends_on)
    .bind::<sql_types::Text, _>(template)
    .load(c)
    .await?;
    let fault = |circle: Circle| {
        // Postgres counts from one.
        let path = format!("{DEFINITION}/dependsOn/{}/template", circle.place - 1);
        Fault::new(path, format!("leads back to '{template}'"))
    };
    Ok(circles.into_iter().map(fault).collect())
}
