use std::str::FromStr;

use postgres_protocol::escape::{escape_identifier, escape_literal};
use postgres_protocol::password::scram_sha_256;
use secrecy::{ExposeSecret, SecretString};
use tokio_postgres::{Client, Config, SimpleQueryMessage};

use crate::client::connect;
use crate::error::Error;

/// The psql script that creates the database of one service, for deployments with their own PostgreSQL. Its header
/// lists the variables.
pub const SERVICE_DATABASE_SQL: &str = include_str!("../sql/service-database.sql");

/// Maximum length of a name in bytes; PostgreSQL truncates longer names without an error.
const NAME_LIMIT: usize = 63;

/// Database of one service, with an owner role that runs migrations and an app role that serves requests.
///
/// The app role may read and write the rows of the owner's tables and use their sequences. It cannot create objects or
/// connect to another database. A migration may revoke further privileges.
#[derive(Debug, Clone)]
pub struct ServiceDatabase {
    pub name: String,
    pub owner: String,
    pub owner_password: SecretString,
    pub app: String,
    pub app_password: SecretString,
}

impl ServiceDatabase {
    /// Returns the database of a service by the naming rule: for `stack-registry`, the database `nno_stack_registry`
    /// with the roles `nno_stack_registry_owner` and `nno_stack_registry_app`.
    #[must_use]
    pub fn of_service(service: &str, owner_password: SecretString, app_password: SecretString) -> Self {
        let name = format!("nno_{}", service.replace('-', "_"));
        let (owner, app) = (format!("{name}_owner"), format!("{name}_app"));
        Self { name, owner, owner_password, app, app_password }
    }

    fn check(&self) -> Result<(), Error> {
        for (what, name) in
            [("database name", &self.name), ("role name", &self.owner), ("role name", &self.app)]
        {
            let reason = match name.as_str() {
                "" => "it is empty",
                long if long.len() > NAME_LIMIT => "it is longer than 63 bytes",
                odd if odd.contains('\0') => "it contains a zero byte",
                _ => continue,
            };
            return Err(Error::Name { what, name: name.clone(), reason });
        }
        Ok(())
    }

    /// Returns the value of a variable of the script. Passwords are sent as SCRAM verifiers, so that the server never
    /// sees or logs them.
    fn variable(&self, name: &str) -> Option<String> {
        match name {
            "database" => Some(self.name.clone()),
            "owner" => Some(self.owner.clone()),
            "owner_password" => Some(scram_sha_256(self.owner_password.expose_secret().as_bytes())),
            "app" => Some(self.app.clone()),
            "app_password" => Some(scram_sha_256(self.app_password.expose_secret().as_bytes())),
            _ => None,
        }
    }
}

/// Creates or updates the database and its roles with the URL of a superuser. Safe to repeat and to run concurrently.
///
/// # Errors
/// [`Error::Name`] for a name that PostgreSQL would change, [`Error::Sql`] with the message of the server.
pub async fn ensure_service_database(
    superuser_url: &SecretString,
    database: &ServiceDatabase,
) -> Result<(), Error> {
    database.check()?;
    let what = || format!("cannot prepare the database {}", database.name);
    let mut config = Config::from_str(superuser_url.expose_secret()).map_err(Error::sql(what()))?;
    let mut client = connect(&config).await.map_err(Error::sql(what()))?;
    for step in steps(SERVICE_DATABASE_SQL) {
        match step {
            Step::Connect => {
                client = connect(config.dbname(&database.name)).await.map_err(Error::sql(what()))?;
            }
            Step::Run(template) => {
                client.batch_execute(&fill(&template, database)).await.map_err(Error::sql(what()))?;
            }
            Step::RunResults(template) => {
                run_results(&client, &fill(&template, database)).await.map_err(Error::sql(what()))?;
            }
        }
    }
    Ok(())
}

/// Runs each row of the query result as a statement, like `\gexec` of psql.
async fn run_results(client: &Client, query: &str) -> Result<(), tokio_postgres::Error> {
    for message in client.simple_query(query).await? {
        if let SimpleQueryMessage::Row(row) = message
            && let Some(statement) = row.try_get(0)?
        {
            client.batch_execute(statement).await?;
        }
    }
    Ok(())
}

#[derive(Debug, PartialEq)]
enum Step {
    Run(String),
    RunResults(String),
    Connect,
}

/// Parses the subset of psql's syntax that the header of the script describes.
fn steps(script: &str) -> Vec<Step> {
    let mut steps = Vec::new();
    let mut statement = String::new();
    for line in script.lines().map(str::trim) {
        if line.is_empty() || line.starts_with("--") || line.starts_with(r"\set ") {
            continue;
        }
        if line.starts_with(r"\connect ") {
            steps.push(Step::Connect);
        } else if let Some(last) = line.strip_suffix(r"\gexec") {
            statement.push_str(last);
            steps.push(Step::RunResults(std::mem::take(&mut statement)));
        } else {
            statement.push_str(line);
            statement.push('\n');
            if line.ends_with(';') {
                steps.push(Step::Run(std::mem::take(&mut statement)));
            }
        }
    }
    steps
}

/// Replaces `:"name"` with an identifier and `:'name'` with a literal. Placeholders in values are not replaced.
fn fill(template: &str, database: &ServiceDatabase) -> String {
    let mut filled = String::new();
    let mut rest = template;
    while let Some(at) = rest.find([':']) {
        let (before, from) = rest.split_at(at);
        filled.push_str(before);
        let (value, after) =
            placeholder(from, database).unwrap_or_else(|| (":".to_owned(), from.split_at(1).1));
        filled.push_str(&value);
        rest = after;
    }
    filled.push_str(rest);
    filled
}

/// Returns the quoted value of the placeholder at the start of a text, and the rest of the text.
fn placeholder<'a>(text: &'a str, database: &ServiceDatabase) -> Option<(String, &'a str)> {
    let text = text.strip_prefix(':')?;
    let quote = text.chars().next().filter(|c| matches!(c, '"' | '\''))?;
    let (name, after) = text.strip_prefix(quote)?.split_once(quote)?;
    let value = database.variable(name)?;
    let quoted = if quote == '"' { escape_identifier(&value) } else { escape_literal(&value) };
    Some((quoted, after))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hostile() -> ServiceDatabase {
        ServiceDatabase {
            name: r#"a"b:'app'"#.to_owned(),
            owner: r"o'x\".to_owned(),
            owner_password: "one".into(),
            app: "app".to_owned(),
            app_password: "two".into(),
        }
    }

    #[test]
    fn values_are_quoted_and_not_expanded_again() {
        assert_eq!(fill(r#"A :"database" B;"#, &hostile()), r#"A "a""b:'app'" B;"#);
        assert_eq!(fill("A :'owner';", &hostile()), r"A  E'o''x\\';");
        assert_eq!(fill("1::text ':' :'app'", &hostile()), "1::text ':' 'app'");
    }

    #[test]
    fn passwords_are_sent_only_as_verifiers() {
        for step in steps(SERVICE_DATABASE_SQL) {
            if let Step::Run(template) = step {
                let sql = fill(&template, &hostile());
                assert!(!sql.contains("'one'") && !sql.contains("'two'"), "{sql}");
                assert_eq!(sql.matches("SCRAM-SHA-256$").count(), template.matches("_password'").count());
            }
        }
    }

    #[test]
    fn every_line_of_the_script_is_parsed() {
        let steps = steps(SERVICE_DATABASE_SQL);
        let ends = SERVICE_DATABASE_SQL
            .lines()
            .filter(|line| !line.starts_with("--"))
            .filter(|line| line.ends_with(';') || line.ends_with(r"\gexec") || line.starts_with(r"\connect"))
            .count();
        assert_eq!(steps.len(), ends);
        for step in steps {
            if let Step::Run(sql) | Step::RunResults(sql) = step {
                let filled = fill(&sql, &hostile());
                assert!(!sql.contains('\\') && !filled.contains(":\""), "{sql}");
            }
        }
    }

    #[test]
    fn names_that_postgres_would_truncate_are_rejected() {
        let database = ServiceDatabase::of_service(&"x".repeat(60), "a".into(), "b".into());
        let error = database.check().unwrap_err().to_string();
        assert!(error.contains("longer than 63 bytes"), "{error}");
    }

    #[test]
    fn names_derive_from_the_service() {
        let database = ServiceDatabase::of_service("stack-registry", "a".into(), "b".into());
        assert_eq!(database.name, "nno_stack_registry");
        assert_eq!(database.owner, "nno_stack_registry_owner");
        assert_eq!(database.app, "nno_stack_registry_app");
        database.check().unwrap();
    }
}
