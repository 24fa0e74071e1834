//! Requests: a file of paths for each read operation.

use std::{
    fmt::Write,
    fs,
    path::{Path, PathBuf},
};

use anyhow::Result;
use domain::Cursor;
use rand::Rng;

/// The first loaded id, which is also its creation time in Unix seconds: see `sql/load.sql`.
pub(crate) const FIRST: u32 = 1_000_000_000;
/// Number of different requests of an operation.
const VARIETY: usize = 20_000;

pub(crate) struct Requests {
    dir: PathBuf,
}

impl Requests {
    /// Writes the files for a registry with `rows` platforms.
    pub(crate) fn write(dir: &Path, rows: u32) -> Result<Self> {
        let this = Self { dir: dir.to_owned() };
        let (mut get, mut page, mut manifest) = (String::new(), String::new(), String::new());
        for _ in 0..VARIETY {
            let n = FIRST + rand::rng().random_range(0..rows);
            writeln!(get, "/api/v1/platforms/{n}")?;
            // Every tenth platform has an entity, whose id is the platform's.
            let e = n - n % 10;
            writeln!(manifest, "/api/v1/platforms/{e}/entities/{e}/manifest")?;
            let cursor = Cursor { at: at(n), id: n.to_string() };
            writeln!(page, "/api/v1/platforms?limit=50&cursor={}", cursor.encode("platforms"))?;
        }
        fs::write(this.path("get"), get)?;
        fs::write(this.path("own"), format!("/api/v1/platforms/{FIRST}\n"))?;
        fs::write(this.path("page"), page)?;
        fs::write(this.path("manifest"), manifest)?;
        Ok(this)
    }

    /// Returns the file of a read operation.
    pub(crate) fn file(&self, operation: &str) -> Option<PathBuf> {
        Some(self.path(operation)).filter(|path| path.exists())
    }

    fn path(&self, operation: &str) -> PathBuf {
        self.dir.join(format!("{operation}.paths"))
    }
}

fn at(n: u32) -> chrono::DateTime<chrono::Utc> {
    chrono::DateTime::from_timestamp(i64::from(n), 0).unwrap_or_default()
}
