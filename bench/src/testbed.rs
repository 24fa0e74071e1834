//! The system under test: a durable PostgreSQL with platforms, the registry, the gateway and nginx, all on this machine.

use std::{
    env, fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};
use domain::{Grant, GrantScope, Role};
use embedded_postgres::{Cluster, ServiceDatabase, Settings};
use identity::{ActorType, Caller, KeyPair, Signer};
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::process::Command;
use tokio_postgres::{Client, NoTls};

use crate::{
    policies::Policies,
    process::{Process, free_address},
    requests::FIRST,
    tools::{client, file},
};

pub(crate) const OPERATOR_KEY: &str = "a-key-that-is-good-for-the-bench-alone";

pub(crate) struct Testbed {
    pub(crate) dir: PathBuf,
    /// URL for the role that serves requests.
    pub(crate) database: SecretString,
    pub(crate) registry: Process,
    pub(crate) gateway: Process,
    pub(crate) nginx: Process,
    iam: Process,
    signer: Signer,
    cluster: Cluster,
    policies: Policies,
    superuser: SecretString,
    _folder: TempDir,
}

impl Testbed {
    /// Starts all processes with `rows` platforms in the registry, from the programs of a folder or from those next to
    /// this one. The gateway has its default limits, unless it is `unlimited`.
    pub(crate) async fn start(rows: u32, unlimited: bool, programs: Option<&Path>) -> Result<Self> {
        let folder = folder()?;
        let dir = folder.path().to_owned();
        let keys = dir.join("keys");
        let signer = signer(&keys, &["gateway", "registry", "iam"])?;
        let cluster = cluster(&dir).await?;
        let service = database(&cluster, "registry").await?;
        let database = cluster.url(&service.app, &service.app_password, &service.name);
        let (address, registry_grpc) = (free_address()?, free_address()?);
        let mut registry = program_of(programs, "registry", &keys)?;
        registry
            .env("NNO__HTTP__BIND", address.to_string())
            .env("NNO__GRPC__BIND", registry_grpc.to_string());
        migrate(&mut registry, &cluster, &service).await?;
        load(&cluster.superuser_url(&service.name), rows).await?;
        let policies = Policies::find(&cluster.superuser_url(&service.name)).await?;
        let registry = Process::start(registry.arg("serve"), address, &dir.join("registry.log")).await?;

        let (iam_http, iam_grpc) = (free_address()?, free_address()?);
        let mut iam = program_of(programs, "iam", &keys)?;
        iam.env("NNO__HTTP__BIND", iam_http.to_string())
            .env("NNO__GRPC__BIND", iam_grpc.to_string())
            .env("NNO__SERVICE__REGISTRY__URL", format!("http://{registry_grpc}"));
        migrate(&mut iam, &cluster, &self::database(&cluster, "iam").await?).await?;
        let iam = Process::start(iam.arg("serve"), iam_http, &dir.join("iam.log")).await?;

        let at = free_address()?;
        let mut gateway = program_of(programs, "gateway", &keys)?;
        gateway
            .env("NNO__HTTP__BIND", at.to_string())
            .env("NNO__SERVICE__OPERATOR_KEY", OPERATOR_KEY)
            .env("NNO__SERVICE__IAM__URL", format!("http://{iam_grpc}"))
            .env("NNO__SERVICE__UPSTREAMS__IAM__URL", &iam.url)
            .env("NNO__SERVICE__UPSTREAMS__REGISTRY__URL", &registry.url);
        if unlimited {
            // High limits instead of none, so that the gateway still counts requests.
            for limit in
                ["PER_ADDRESS_PER_SECOND", "PER_ADDRESS_BURST", "PER_CALLER_PER_SECOND", "PER_CALLER_BURST"]
            {
                gateway.env(format!("NNO__SERVICE__LIMITS__{limit}"), "1000000");
            }
            gateway.env("NNO__SERVICE__LIMITS__PER_CALLER_IN_FLIGHT", "0");
        }
        let gateway = Process::start(gateway.arg("serve"), at, &dir.join("gateway.log")).await?;

        let listen = free_address()?;
        let conf = dir.join("nginx.conf");
        let text = fs::read_to_string(file("nginx.conf"))?
            .replace("{dir}", &dir.to_string_lossy())
            .replace("{registry}", &address.to_string())
            .replace("{listen}", &listen.to_string());
        fs::write(&conf, text)?;
        let mut nginx = Command::new("nginx");
        nginx.arg("-p").arg(&dir).arg("-c").arg(&conf);
        let nginx = Process::start(&mut nginx, listen, &dir.join("nginx.log")).await?;
        let superuser = cluster.superuser_url(&service.name);
        Ok(Self {
            dir,
            database,
            registry,
            gateway,
            nginx,
            iam,
            signer,
            cluster,
            policies,
            superuser,
            _folder: folder,
        })
    }

    /// Returns a token of the gateway for the operator, which the registry accepts for less than a minute.
    pub(crate) fn token(&self) -> Result<String> {
        self.signer.sign("registry", &Caller::operator()).map_err(to_error)
    }

    /// Returns a token for a viewer of the first platform.
    pub(crate) fn token_of_one(&self) -> Result<String> {
        let platform = FIRST.to_string().parse().map_err(anyhow::Error::msg)?;
        let grant = Grant::new(Role::Viewer, GrantScope::Platform(platform)).map_err(to_error)?;
        let caller = Caller::authenticated("key:bench", ActorType::Apikey, vec![grant]);
        self.signer.sign("registry", &caller).map_err(to_error)
    }

    /// Creates an API key of a viewer of all platforms.
    pub(crate) async fn key(&self) -> Result<String> {
        let request = client()?
            .post(format!("{}/api/v1/iam/keys", self.gateway.url))
            .bearer_auth(OPERATOR_KEY)
            .json(&json!({ "name": "bench", "role": "viewer" }));
        let created: Value = request.send().await?.error_for_status()?.json().await?;
        Ok(created.pointer("/key").and_then(Value::as_str).context("no key")?.to_owned())
    }

    /// Connects to the registry's database as superuser.
    pub(crate) async fn superuser(&self) -> Result<Client> {
        connect(&self.superuser).await
    }

    /// Enables or disables row-level security in the registry's database.
    pub(crate) async fn set_policies(&self, enabled: bool) -> Result<()> {
        self.policies.set_enabled(enabled).await
    }

    /// Stops everything, callers before callees.
    pub(crate) async fn stop(self) -> Result<()> {
        self.nginx.stop().await?;
        self.gateway.stop().await?;
        self.iam.stop().await?;
        self.registry.stop().await?;
        Ok(self.cluster.stop().await?)
    }
}

#[expect(clippy::needless_pass_by_value, reason = "the signature that map_err needs")]
fn to_error(error: domain::Error) -> anyhow::Error {
    anyhow::anyhow!("{}", error.message().to_owned())
}

/// Creates a folder that PostgreSQL's user and nginx's workers can traverse.
pub(crate) fn folder() -> Result<TempDir> {
    let folder = tempfile::tempdir()?;
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755))?;
    Ok(folder)
}

/// Creates keys of these processes and returns the signer of the gateway.
pub(crate) fn signer(keys: &Path, names: &[&str]) -> Result<Signer> {
    for name in names {
        KeyPair::ensure(keys, name)?;
    }
    Signer::new("gateway", &KeyPair::read(keys, "gateway")?)
}

/// Returns the command of a program in the folder of this one, with its keys.
pub(crate) fn program(name: &str, keys: &Path) -> Result<Command> {
    program_of(None, name, keys)
}

fn program_of(folder: Option<&Path>, name: &str, keys: &Path) -> Result<Command> {
    let here = env::current_exe()?;
    let path = folder.or(here.parent()).context("no folder")?.join(name);
    let mut command = Command::new(path);
    command.env("NNO__IDENTITY__KEYS_DIR", keys);
    Ok(command)
}

/// Sets the database of a service and migrates it.
pub(crate) async fn migrate(
    service: &mut Command,
    cluster: &Cluster,
    database: &ServiceDatabase,
) -> Result<()> {
    let app = cluster.url(&database.app, &database.app_password, &database.name);
    let owner = cluster.url(&database.owner, &database.owner_password, &database.name);
    service
        .env("NNO__DATABASE__URL", app.expose_secret())
        .env("NNO__DATABASE__OWNER_URL", owner.expose_secret());
    let mut command = Command::new(service.as_std().get_program());
    command.envs(service.as_std().get_envs().filter_map(|(name, value)| Some((name, value?))));
    let migrated = command.arg("migrate").status().await?;
    anyhow::ensure!(migrated.success(), "{} did not migrate: {migrated}", database.name);
    Ok(())
}

fn secret() -> SecretString {
    SecretString::from("bench")
}

/// Creates the database of a service.
pub(crate) async fn database(cluster: &Cluster, service: &str) -> Result<ServiceDatabase> {
    let database = ServiceDatabase::of_service(service, secret(), secret());
    cluster.ensure_service_database(&database).await?;
    Ok(database)
}

pub(crate) async fn cluster(dir: &Path) -> Result<Cluster> {
    let settings = Settings {
        data_dir: dir.to_owned(),
        binaries_dir: None,
        port: None,
        durable: true,
        max_connections: 200,
        superuser_password: secret(),
    };
    Ok(Cluster::start(settings).await?)
}

/// Connects to a database. Dropping the client closes the connection.
pub(crate) async fn connect(url: &SecretString) -> Result<Client> {
    let (client, connection) = tokio_postgres::connect(url.expose_secret(), NoTls).await?;
    tokio::spawn(connection);
    Ok(client)
}

async fn load(superuser: &SecretString, rows: u32) -> Result<()> {
    let client = connect(superuser).await?;
    let sql = fs::read_to_string(file("sql/load.sql"))?.replace("$rows", &rows.to_string());
    // One by one, because some statements cannot run in a transaction.
    for statement in sql.split(";\n").filter(|statement| !statement.trim().is_empty()) {
        client.batch_execute(statement).await.with_context(|| statement.to_owned())?;
    }
    Ok(())
}
