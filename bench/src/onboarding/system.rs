//! The services that an onboarding needs, with a database each.

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
    site, tools,
};

/// In the order in which they start: each calls those before it.
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
        let folder = site::folder()?;
        let dir = folder.path().to_owned();
        let keys = dir.join("keys");
        let signer = site::signer(&keys, &["gateway", "registry", "provisioning", "onboarding"])?;
        let made = dir.join("provider");
        let provider = FakeProvider::open(&made, Some(&Script::default()), Clock::system())?;
        let cluster = site::cluster(&dir).await?;
        let mut grpc = HashMap::new();
        let mut processes = Vec::new();
        for name in SERVICES {
            let database = site::database(&cluster, name).await?;
            let (at, calls) = (free_address()?, free_address()?);
            grpc.insert(name, format!("http://{calls}"));
            let program = if name == "provisioning" { "fake-provisioning" } else { name };
            let mut service = site::program(program, &keys)?;
            service.env("NNO__HTTP__BIND", at.to_string()).env("NNO__GRPC__BIND", calls.to_string());
            if name == "provisioning" {
                service.env("NNO__SERVICE__DATA_DIR", &made);
            }
            for (peer, url) in grpc.iter().filter(|(peer, _)| **peer != name) {
                service.env(format!("NNO__SERVICE__{}__URL", peer.to_uppercase()), url);
            }
            site::migrate(&mut service, &cluster, &database).await?;
            let log = dir.join(format!("{name}.log"));
            processes.push((name, Process::start(service.arg("serve"), at, &log).await?));
        }
        let http = tools::client()?;
        Ok(Self { dir, cluster, provider, http, processes, signer, _folder: folder })
    }

    /// Where onboardings are asked for.
    pub(super) fn url(&self) -> Result<String> {
        let (_, process) = self.processes.last().context("nothing runs")?;
        Ok(format!("{}/api/v1/onboarding", process.url))
    }

    /// What the services take for a call of this caller's through the gateway.
    pub(super) fn token(&self, caller: &str) -> Result<String> {
        let caller = Caller { id: caller.to_owned(), ..Caller::operator() };
        self.signer.sign("onboarding", &caller).map_err(|error| anyhow::anyhow!("{}", error.message()))
    }

    /// A connection as superuser to the database of a service.
    pub(super) async fn database(&self, service: &str) -> Result<Client> {
        site::connect(&self.cluster.superuser_url(&format!("nno_{service}"))).await
    }

    /// How many calls the provider let through, and how many it refused.
    pub(super) async fn calls(&self) -> Result<(usize, usize)> {
        let calls = self.provider.calls().await?;
        let passed = calls.iter().filter(|call| call.outcome == Some(Outcome::Ok)).count();
        Ok((passed, calls.len() - passed))
    }

    /// Resident memory of each process now, in MiB.
    pub(super) fn memory(&self) -> Result<Vec<(&'static str, u64)>> {
        self.processes.iter().map(|(name, process)| Ok((*name, process.memory()?))).collect()
    }

    /// Stops everything, the called after the callers.
    pub(super) async fn stop(self) -> Result<()> {
        for (_, process) in self.processes.into_iter().rev() {
            process.stop().await?;
        }
        Ok(self.cluster.stop().await?)
    }
}
