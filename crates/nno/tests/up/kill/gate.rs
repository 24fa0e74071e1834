//! Holds the writes that the boundaries of steps consist of.
//!
//! A trigger in the service's own database has such a write wait: that a step begins (`in_progress`), or that it is done
//! (`completed`: the effect is there, unrecorded). While it waits the process is killed. Then the first is taken, so that
//! nothing is done yet; the second is lost, so that nobody knows what was done.

use std::{collections::BTreeSet, fs, time::Duration};

use saga::Outline;
use tokio::time::sleep;
use tokio_postgres::NoTls;

use crate::system::Place;

/// Marks our locks among those of others.
const HELD: i32 = 4711;

const BOUNDARIES: [&str; 2] = ["in_progress", "completed"];

/// The gates in one database.
pub(crate) struct Gates(tokio_postgres::Client);

impl Gates {
    pub(crate) async fn open(place: &Place, database: &str) -> Self {
        let read = |path: &str| fs::read_to_string(place.data().join(path)).unwrap().trim().to_owned();
        let (port, password) = (read("postgres/port"), read("secrets/postgres"));
        let url = format!("host=127.0.0.1 port={port} user=nno password={password} dbname={database}");
        let (client, connection) = tokio_postgres::connect(&url, NoTls).await.unwrap();
        tokio::spawn(connection);
        Self(client)
    }

    /// Puts them up, all open.
    pub(crate) async fn install(&self) {
        let sql = format!(
            "CREATE TABLE gates (id integer GENERATED ALWAYS AS IDENTITY, kind text, subject text, name text, status text); \
             GRANT SELECT ON gates TO public; \
             CREATE FUNCTION hold() RETURNS trigger LANGUAGE plpgsql AS $$ DECLARE gate integer; BEGIN \
                 IF NEW.status = OLD.status THEN RETURN NEW; END IF; \
                 SELECT gates.id INTO gate FROM gates JOIN sagas ON sagas.id = NEW.saga_id \
                     WHERE (gates.kind, gates.name, gates.status) = (sagas.kind, NEW.name, NEW.status) \
                         AND coalesce(gates.subject, sagas.subject) = sagas.subject; \
                 IF FOUND THEN \
                     PERFORM pg_advisory_xact_lock_shared({HELD}, gate); \
                     WHILE EXISTS (SELECT FROM gates WHERE id = gate) LOOP PERFORM pg_sleep(0.01); END LOOP; \
                 END IF; \
                 RETURN NEW; END $$; \
             CREATE TRIGGER hold BEFORE UPDATE ON saga_steps FOR EACH ROW EXECUTE FUNCTION hold();"
        );
        self.0.batch_execute(&sql).await.unwrap();
    }

    /// From now on a saga of this kind waits at every boundary of its steps: the one about `subject`, if that is named.
    pub(crate) async fn close(&self, outline: &Outline, subject: Option<&str>) {
        for step in &outline.steps {
            for status in BOUNDARIES {
                let sql = "INSERT INTO gates (kind, subject, name, status) VALUES ($1, $2, $3, $4)";
                self.0.execute(sql, &[&outline.kind, &subject, step, &status]).await.unwrap();
            }
        }
    }

    /// The kinds of saga that are still to be killed at some boundary.
    pub(crate) async fn closed(&self) -> BTreeSet<String> {
        self.kinds("SELECT DISTINCT kind FROM gates").await
    }

    /// Those of them that wait.
    pub(crate) async fn waiting(&self) -> BTreeSet<String> {
        self.kinds(&format!("SELECT DISTINCT kind FROM ({}) AS waiting", waiting())).await
    }

    async fn kinds(&self, sql: &str) -> BTreeSet<String> {
        self.0.query(sql, &[]).await.unwrap().iter().map(|row| row.get(0)).collect()
    }

    /// Opens the gates that a killed process waits at; gives how many. One write may wait at several, one by one.
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

/// What waits at which gate: each that does has the lock that tells of it.
fn waiting() -> String {
    format!(
        "SELECT gates.*, pg_locks.pid FROM pg_locks JOIN gates ON gates.id = pg_locks.objid::bigint \
         WHERE locktype = 'advisory' AND classid = {HELD} \
             AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
    )
}
