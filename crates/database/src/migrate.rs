//! Migrations: the shared ones first, then those of the service. `migrate` runs them as the owner; `serve` refuses to
//! start on a schema that it does not know.

use anyhow::{Context, Result, bail};
use diesel::{
    migration::{Migration, MigrationSource},
    pg::Pg,
};
use diesel_async::{AsyncConnection, AsyncMigrationHarness, AsyncPgConnection};
use diesel_migrations::{EmbeddedMigrations, MigrationHarness, embed_migrations};

const SHARED: EmbeddedMigrations = embed_migrations!("migrations");

/// All migrations of a service, oldest first.
pub struct Migrations(Vec<EmbeddedMigrations>);

impl std::fmt::Debug for Migrations {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Migrations")
    }
}

impl Migrations {
    /// The shared migrations, followed by `own`.
    pub fn with_shared(own: impl IntoIterator<Item = EmbeddedMigrations>) -> Self {
        Self(std::iter::once(SHARED).chain(own).collect())
    }

    /// Returns the versions, oldest first.
    ///
    /// # Errors
    /// If an embedded migration cannot be read.
    pub fn versions(&self) -> Result<Vec<String>> {
        let all = self.migrations().map_err(|error| anyhow::anyhow!(error))?;
        let mut versions: Vec<String> = all.iter().map(|one| one.name().version().to_string()).collect();
        versions.sort();
        Ok(versions)
    }
}

impl MigrationSource<Pg> for Migrations {
    fn migrations(&self) -> diesel::migration::Result<Vec<Box<dyn Migration<Pg>>>> {
        let mut all = Vec::new();
        for source in &self.0 {
            all.extend(MigrationSource::<Pg>::migrations(source)?);
        }
        Ok(all)
    }
}

/// Runs the pending migrations. Requires the owner's URL and a multi-threaded runtime.
///
/// # Errors
/// If the database cannot be reached or a migration fails. Earlier migrations stay applied.
pub async fn run(owner_url: &str, migrations: Migrations) -> Result<Vec<String>> {
    let connection = AsyncPgConnection::establish(owner_url).await.context("cannot reach the database")?;
    let mut harness = AsyncMigrationHarness::new(connection);
    let ran = harness
        .run_pending_migrations(migrations)
        .map_err(|error| anyhow::anyhow!("migration failed: {error}"))?;
    Ok(ran.iter().map(ToString::to_string).collect())
}

/// Reverts all migrations, newest first. Used by tests of the migrations.
///
/// # Errors
/// If a migration cannot be reverted.
pub async fn revert_all(owner_url: &str, migrations: Migrations) -> Result<()> {
    let connection = AsyncPgConnection::establish(owner_url).await.context("cannot reach the database")?;
    let mut harness = AsyncMigrationHarness::new(connection);
    harness.revert_all_migrations(migrations).map_err(|error| anyhow::anyhow!("revert failed: {error}"))?;
    Ok(())
}

/// Rejects a schema that is older or newer than this binary.
///
/// # Errors
/// Names the missing or unknown migration and the remedy.
pub async fn check(connection: &mut AsyncPgConnection, migrations: &Migrations) -> Result<()> {
    use diesel::{QueryableByName, sql_types::Text};
    use diesel_async::RunQueryDsl;

    #[derive(QueryableByName)]
    struct Applied {
        #[diesel(sql_type = Text)]
        version: String,
    }
    let applied: Vec<Applied> =
        diesel::sql_query("SELECT version FROM __diesel_schema_migrations ORDER BY version")
            .load(connection)
            .await
            .context("the database was never migrated: run `migrate` first")?;
    let (applied, known) =
        (applied.into_iter().map(|row| row.version).collect::<Vec<_>>(), migrations.versions()?);
    if let Some(missing) = known.iter().find(|version| !applied.contains(version)) {
        bail!("the database lacks migration {missing}: run `migrate` first");
    }
    if let Some(unknown) = applied.iter().find(|version| !known.contains(version)) {
        bail!(
            "the database has migration {unknown}, which this binary does not know: it is older than the schema"
        );
    }
    Ok(())
}
