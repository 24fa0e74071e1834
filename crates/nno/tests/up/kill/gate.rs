//! Gates that block the writes at the boundaries of saga steps.
//!
//! A trigger in the service's own database blocks the write that starts a step (`in_progress`) or completes it
//! (`completed`: the effect exists but is not recorded). The process is killed while the write is blocked. Then the first
//! write is let through, so that nothing has been done yet, and the second is aborted, so that the effect is not recorded.

use std::{collections::BTreeSet, fs, time::Duration};

use saga::Outline;
use tokio::time::sleep;
use tokio_postgres::NoTls;

use crate::system::TestSystem;

/// Class of the advisory locks of gates.
const LOCK_CLASS: i32 = 4711;

const BOUNDARIES: [&str; 2] = ["in_progress", "completed"];

/// The gates in one database.
pub(crate) struct Gates(tokio_postgres::Client);

impl Gates {
    pub(crate) async fn open(system: &TestSystem, database: &str) -> Self {
        let read = |path: &str| fs::read_to_string(system.data().join(path)).unwrap().trim().to_owned();
        let (port, password) = (read("postgres/port"), read("secrets/postgres"));
        let url = format!("host=127.0.0.1 port={port} user=nno password={password} dbname={database}");
        let (client, connection) = tokio_postgres::connect(&url, NoTls).await.unwrap();
        tokio::spawn(connection);
        Self(client)
    }

    /// Installs the trigger, with all gates open.
    pub(crate) async fn install(&self) {
        let sql = format!(
            "CREATE TABLE gates (id integer GENERATED ALWAYS AS IDENTITY, kind text, subject text, name text, status text); \
             GRANT SELECT ON gates TO public; \
             CREATE FUNCTION block() RETURNS trigger LANGUAGE plpgsql AS $$ DECLARE gate integer; BEGIN \
                 IF NEW.status = OLD.status THEN RETURN NEW; END IF; \
                 SELECT gates.id INTO gate FROM gates JOIN sagas ON sagas.id = NEW.saga_id \
                     WHERE (gates.kind, gates.name, gates.status) = (sagas.kind, NEW.name, NEW.status) \
                         AND coalesce(gates.subject, sagas.subject) = sagas.subject; \
                 IF FOUND THEN \
                     PERFORM pg_advisory_xact_lock_shared({LOCK_CLASS}, gate); \
                     WHILE EXISTS (SELECT FROM gates WHERE id = gate) LOOP PERFORM pg_sleep(0.01); END LOOP; \
                 END IF; \
                 RETURN NEW; END $$; \
             CREATE TRIGGER block BEFORE UPDATE ON saga_steps FOR EACH ROW EXECUTE FUNCTION block();"
        );
        self.0.batch_execute(&sql).await.unwrap();
    }

    /// Closes the gates at every step boundary of sagas of this kind, only for `subject` if that is given.
    pub(crate) async fn close(&self, outline: &Outline, subject: Option<&str>) {
        for step in &outline.steps {
            for status in BOUNDARIES {
                let sql = "INSERT INTO gates (kind, subject, name, status) VALUES ($1, $2, $3, $4)";
                self.0.execute(sql, &[&outline.kind, &subject, step, &status]).await.unwrap();
            }
        }
    }

    /// Returns the kinds of sagas that have a closed gate.
    pub(crate) async fn closed(&self) -> BTreeSet<String> {
        self.kinds("SELECT DISTINCT kind FROM gates").await
    }

    /// Returns the kinds of sagas that are blocked at a gate.
    pub(crate) async fn waiting(&self) -> BTreeSet<String> {
        self.kinds(&format!("SELECT DISTINCT kind FROM ({}) AS waiting", waiting())).await
    }

    async fn kinds(&self, sql: &str) -> BTreeSet<String> {
        self.0.query(sql, &[]).await.unwrap().iter().map(|row| row.get(0)).collect()
    }

    /// Opens the gates that the killed process was blocked at and returns their number. One write may be blocked at several
    /// gates, one after another.
    pub(crate) async fn pass(&self) -> usize {
        let (mut passed, mut looks) = (0, 0);
        while looks < 3 {
            let found = self.0.query(&waiting(), &[]).await.unwrap();
            for row in &found {
                let (gate, status, pid): (i32, String, i32) =
                    (row.get("id"), row.get("status"), row.get("pid"));
                if status == "completed" {
                    self.0.query("SELECT pg_terminate_backend($1, 5000)", &[&pid]).await.unwrap();
                }
                self.0.execute("DELETE FROM gates WHERE id = $1", &[&gate]).await.unwrap();
                passed += 1;
            }
            looks = if found.is_empty() { looks + 1 } else { 0 };
            sleep(Duration::from_millis(10)).await;
        }
        passed
    }
}

/// Query for the blocked writes and their gates. Each blocked write holds an advisory lock with the id of its gate.
fn waiting() -> String {
    format!(
        "SELECT gates.*, pg_locks.pid FROM pg_locks JOIN gates ON gates.id = pg_locks.objid::bigint \
         WHERE locktype = 'advisory' AND classid = {LOCK_CLASS} \
             AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
    )
}
