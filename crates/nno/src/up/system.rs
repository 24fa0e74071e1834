//! The services and the gateway, next to PostgreSQL.

use std::{convert::Infallible, net::SocketAddr, time::Duration};

use anyhow::{Context, Result};
use embedded_postgres::Cluster;
use gateway::{Gateway, Reload};
use iam::Iam;
use runtime::{
    config::{self, Secret},
    shutdown::Shutdown,
};
use serde_json::{Value, json};
use service::Service;
use tokio::time::{Instant, sleep};
use web::healthcheck;

use super::{
    console::{Console, Summary, reachable},
    data_folder::DataFolder,
    operator, postgres,
    services::{ServicePlan, SharedSettings},
    settings::{FileSettings, SettingsFile},
    signal::ReloadRequests,
    supervisor::Supervisor,
};
use cli::stack;

/// Time within which all services must become ready after their start.
const READY_TIMEOUT: Duration = Duration::from_secs(60);
const READY_POLL: Duration = Duration::from_millis(50);

/// Inputs of the services and the gateway.
pub(crate) struct System<'a> {
    pub(crate) console: &'a Console,
    pub(crate) folder: &'a DataFolder,
    pub(crate) shared: &'a SharedSettings,
    pub(crate) front: SocketAddr,
    /// Set if the key is not the one in the data folder.
    pub(crate) operator_key: Option<Secret>,
    pub(crate) settings_file: SettingsFile,
    pub(crate) demo: bool,
    pub(crate) stop: &'a Shutdown,
    pub(crate) reload_requests: ReloadRequests,
}

/// Addresses of the services, in the form of the gateway's settings.
#[derive(Debug)]
pub(crate) struct ServiceAddresses {
    upstreams: Value,
    iam: Value,
}

impl ServiceAddresses {
    /// No addresses, for a check of settings before anything runs.
    pub(crate) fn none() -> Self {
        Self { upstreams: json!({}), iam: json!({}) }
    }

    fn new(services: &[(&str, SocketAddr)], iam: SocketAddr) -> Self {
        let at = |address: &SocketAddr| json!({ "url": format!("http://{address}") });
        let upstreams = services
            .iter()
            .map(|(name, http)| (name.replace('-', "_"), at(http)))
            .collect::<serde_json::Map<_, _>>();
        Self { upstreams: upstreams.into(), iam: at(&iam) }
    }
}

impl System<'_> {
    /// Starts everything, reports when it is ready, and watches it until `stop` begins.
    pub(crate) async fn serve(
        &self,
        plans: Vec<ServicePlan>,
        cluster: &mut Cluster,
        supervisor: &mut Supervisor,
    ) -> Result<()> {
        let (mut addresses, mut iam) = (Vec::new(), None);
        for plan in plans {
            if self.stop.has_begun() {
                return Ok(());
            }
            let (name, migrate) = (plan.name, plan.migrate);
            let migration = async {
                let urls = postgres::ensure_database(cluster, self.folder, name).await?;
                migrate(urls.owner.clone())
                    .await
                    .with_context(|| format!("cannot migrate the database of {name}"))?;
                Ok(urls)
            };
            let urls = self.console.step(format_args!("Migrating {name}"), migration).await?;
            let start = plan.start(urls, supervisor.register(name));
            let application = self.console.step(format_args!("Starting {name}"), start).await?;
            addresses.push((name, application.http));
            iam = iam.or((name == Iam::NAME).then_some(application.grpc));
            supervisor.spawn(name, application.run());
        }
        let services = ServiceAddresses::new(&addresses, iam.context("iam does not run")?);
        let settings = self.gateway_settings(&self.shared.file, &services)?;
        let start = async { Gateway::build(settings, supervisor.register(gateway::NAME)) };
        let gateway = self.console.step("Starting gateway", start).await?;
        addresses.push((gateway::NAME, gateway.http));
        let reload = gateway.reloader();
        supervisor.spawn(gateway::NAME, gateway.run());
        tokio::select! {
            outcome = postgres::supervise(cluster, self.stop, self.console) => outcome,
            error = supervisor.unexpected_end() => Err(error),
            error = self.announce_when_ready(&addresses) => Err(error),
            never = self.reload_on_request(&reload, &services) => match never {},
        }
    }

    /// Returns the gateway's settings: its defaults, then the settings file, then the values that `nno up` sets.
    ///
    /// # Errors
    /// When the settings file has a value that the gateway does not accept.
    pub(crate) fn gateway_settings(
        &self,
        file: &FileSettings,
        services: &ServiceAddresses,
    ) -> Result<gateway::Settings> {
        let mut fixed = self.shared.overrides(self.front);
        config::merge(
            &mut fixed,
            json!({ "service": { "operator_key": "", "upstreams": services.upstreams, "iam": services.iam } }),
        );
        let overrides = file.overrides(gateway::NAME, fixed)?;
        let mut settings: gateway::Settings =
            config::with_overrides(gateway::DEFAULTS, overrides).context(gateway::NAME)?;
        settings.service.operator_key = operator::key(self.operator_key.as_ref(), self.folder)?;
        Ok(settings)
    }

    /// Applies the settings file and the operator's key to the gateway on every request to reload.
    async fn reload_on_request(&self, reload: &Reload, services: &ServiceAddresses) -> Infallible {
        loop {
            self.reload_requests.notified().await;
            reload.apply_and_log(|| {
                let file = self.settings_file.read()?;
                let settings = self.gateway_settings(&file, services)?;
                let processes = self.shared.file.changed_processes(&file);
                if !processes.is_empty() {
                    let processes = processes.join(", ");
                    tracing::warn!(
                        processes,
                        "the changed settings of these processes take effect after a restart"
                    );
                }
                Ok(settings)
            });
        }
    }

    /// Returns only if a process does not become ready in time.
    async fn announce_when_ready(&self, addresses: &[(&str, SocketAddr)]) -> anyhow::Error {
        let ready = wait_until_ready(addresses);
        if let Err(error) = self.console.step("Waiting for all services", ready).await {
            return error;
        }
        if self.demo {
            self.publish_demo().await;
        }
        let key_file = self.folder.operator_key_path();
        self.console.ready(&Summary {
            front: self.front,
            key_file: self.operator_key.is_none().then_some(key_file.as_path()),
            log_file: &self.folder.log_file(),
        });
        std::future::pending().await
    }

    /// Publishes the demo templates through the API. The system is ready even if that fails.
    async fn publish_demo(&self) {
        let publish = async {
            let key = operator::key(self.operator_key.as_ref(), self.folder)?;
            stack::publish_demo(&format!("http://{}", reachable(self.front)), key).await
        };
        match self.console.step("Publishing demo templates", publish).await {
            Ok((changed, all)) => {
                self.console.script_line(format_args!("demo templates: {changed} of {all} published now"));
            }
            Err(error) => {
                tracing::warn!(error = format!("{error:#}"), "cannot publish the demo templates");
                self.console.line(format_args!("demo templates: not published: {error:#}"));
            }
        }
    }
}

async fn wait_until_ready(addresses: &[(&str, SocketAddr)]) -> Result<()> {
    let deadline = Instant::now() + READY_TIMEOUT;
    for (name, http) in addresses {
        while let Err(error) = healthcheck(*http, None).await {
            if Instant::now() >= deadline {
                let seconds = READY_TIMEOUT.as_secs();
                return Err(error.context(format!("{name} did not become ready in {seconds} s")));
            }
            sleep(READY_POLL).await;
        }
    }
    Ok(())
}
