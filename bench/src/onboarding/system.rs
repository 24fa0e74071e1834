//! The services that an onboarding needs, each with its own database.

use std::{collections::HashMap, path::PathBuf};

use anyhow::{Context, Result};
use embedded_postgres::Cluster;
use fake_provider::{FakeProvider, Outcome, Script};
use identity::{Caller, Signer};
use provisioning::providers::Clock;
use tempfile::TempDir;
use tokio_postgres::Client;

use crate::{
    process::{Process, free_address},
    testbed, tools,
};

/// Services in start order: each calls those before it.
const SERVICES: [&str; 3] = ["registry", "provisioning", "onboarding"];

pub(crate) struct System {
    pub(super) dir: PathBuf,
    pub(super) cluster: Cluster,
    pub(super) provider: FakeProvider,
    pub(super) http: reqwest::Client,
    processes: Vec<(&'static str, Process)>,
    signer: Signer,
    _folder: TempDir,
}

impl System {
    pub(super) async fn start() -> Result<Self> {
        let folder = testbed::folder()?;
        let dir = folder.path().to_owned();
        let keys = dir.join("keys");
        let signer = testbed::signer(&keys, &["gateway", "registry", "provisioning", "onboarding"])?;
        let provider_dir = dir.join("provider");
        let provider = FakeProvider::open(&provider_dir, Some(&Script::default()), Clock::system())?;
        let cluster = testbed::cluster(&dir).await?;
        let mut grpc = HashMap::new();
        let mut processes = Vec::new();
        for name in SERVICES {
            let database = testbed::database(&cluster, name).await?;
            let (at, calls) = (free_address()?, free_address()?);
            grpc.insert(name, format!("http://{calls}"));
            let program = if name == "provisioning" { "fake-provisioning" } else { name };
            let mut service = testbed::program(program, &keys)?;
            service.env("NNO__HTTP__BIND", at.to_string()).env("NNO__GRPC__BIND", calls.to_string());
            if name == "provisioning" {
                service.env("NNO__SERVICE__DATA_DIR", &provider_dir);
            }
            for (peer, url) in grpc.iter().filter(|(peer, _)| **peer != name) {
                service.env(format!("NNO__SERVICE__{}__URL", peer.to_uppercase()), url);
            }
            testbed::migrate(&mut service, &cluster, &database).await?;
            let log = dir.join(format!("{name}.log"));
            processes.push((name, Process::start(service.arg("serve"), at, &log).await?));
        }
        let http = tools::client()?;
        Ok(Self { dir, cluster, provider, http, processes, signer, _folder: folder })
    }

    /// Returns the URL of the onboarding API.
    pub(super) fn url(&self) -> Result<String> {
        let (_, process) = self.processes.last().context("no process runs")?;
        Ok(format!("{}/api/v1/onboarding", process.url))
    }

    /// Returns a token of the gateway for this caller.
    pub(super) fn token(&self, caller: &str) -> Result<String> {
        let caller = Caller { id: caller.to_owned(), ..Caller::operator() };
        self.signer.sign("onboarding", &caller).map_err(|error| anyhow::anyhow!("{}", error.message()))
    }

    /// Connects to the database of a service as superuser.
    pub(super) async fn database(&self, service: &str) -> Result<Client> {
        testbed::connect(&self.cluster.superuser_url(&format!("nno_{service}"))).await
    }

    /// Returns the number of accepted and of rejected calls of the provider.
    pub(super) async fn calls(&self) -> Result<(usize, usize)> {
        let calls = self.provider.calls().await?;
        let passed = calls.iter().filter(|call| call.outcome == Some(Outcome::Ok)).count();
        Ok((passed, calls.len() - passed))
    }

    /// Returns the current resident memory of each process in MiB.
    pub(super) fn memory(&self) -> Result<Vec<(&'static str, u64)>> {
        self.processes.iter().map(|(name, process)| Ok((*name, process.memory()?))).collect()
    }

    /// Stops everything, callers before callees.
    pub(super) async fn stop(self) -> Result<()> {
        for (_, process) in self.processes.into_iter().rev() {
            process.stop().await?;
        }
        Ok(self.cluster.stop().await?)
    }
}
