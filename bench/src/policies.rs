//! Row-level security that can be disabled and enabled in a running database.

use anyhow::Result;
use secrecy::SecretString;
use tokio_postgres::Client;

use crate::testbed::connect;

/// The tables of a database that have policies.
pub(crate) struct Policies {
    superuser: Client,
    tables: Vec<String>,
}

impl Policies {
    pub(crate) async fn find(superuser: &SecretString) -> Result<Self> {
        let superuser = connect(superuser).await?;
        let sql = "SELECT oid::regclass::text FROM pg_class WHERE relrowsecurity";
        let tables: Vec<String> = superuser.query(sql, &[]).await?.iter().map(|row| row.get(0)).collect();
        anyhow::ensure!(!tables.is_empty(), "no table has a policy");
        Ok(Self { superuser, tables })
    }

    /// Enables or disables all policies. PostgreSQL replans prepared statements afterwards.
    pub(crate) async fn set_enabled(&self, enabled: bool) -> Result<()> {
        let verb = if enabled { "ENABLE" } else { "DISABLE" };
        for table in &self.tables {
            let sql = format!("ALTER TABLE {table} {verb} ROW LEVEL SECURITY");
            self.superuser.batch_execute(&sql).await?;
        }
        Ok(())
    }
}
