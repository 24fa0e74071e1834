//! All that runs beside PostgreSQL.

use std::{
    convert::Infallible,
    net::{Ipv4Addr, SocketAddr},
    time::Duration,
};

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
    folder::DataFolder,
    operator, postgres,
    running::Running,
    services::{Plan, Site},
    settings::{SettingsFile, Told},
    signal::HangUps,
};
use cli::{say, stack};

/// How long all of it may take to become ready once it runs.
const READY: Duration = Duration::from_secs(60);
const READY_POLL: Duration = Duration::from_millis(50);

/// All that the services and the gateway are started with.
pub(crate) struct System<'a> {
    pub(crate) folder: &'a DataFolder,
    pub(crate) site: &'a Site,
    pub(crate) front: SocketAddr,
    /// If it is not the one that the data folder keeps.
    pub(crate) operator_key: Option<Secret>,
    pub(crate) file: SettingsFile,
    pub(crate) demo: bool,
    pub(crate) stop: &'a Shutdown,
    pub(crate) hang_ups: HangUps,
}

/// Where the services are, as the gateway is told it.
#[derive(Debug)]
pub(crate) struct Places {
    upstreams: Value,
    iam: Value,
}

impl Places {
    /// As long as nothing runs.
    pub(crate) fn unknown() -> Self {
        Self { upstreams: json!({}), iam: json!({}) }
    }

    fn of(services: &[(&str, SocketAddr)], iam: SocketAddr) -> Self {
        let at = |address: &SocketAddr| json!({ "url": format!("http://{address}") });
        let upstreams = services
            .iter()
            .map(|(name, http)| (name.replace('-', "_"), at(http)))
            .collect::<serde_json::Map<_, _>>();
        Self { upstreams: upstreams.into(), iam: at(&iam) }
    }
}

impl System<'_> {
    /// Starts everything, says when it is ready, and watches it until `stop` begins.
    pub(crate) async fn serve(
        &self,
        plans: Vec<Plan>,
        cluster: &mut Cluster,
        running: &mut Running,
    ) -> Result<()> {
        let (mut addresses, mut iam) = (Vec::new(), None);
        for plan in plans {
            if self.stop.has_begun() {
                return Ok(());
            }
            let (name, urls) = (plan.name, postgres::database(cluster, self.folder, plan.name).await?);
            let application = plan.start(urls, running.announce(name)).await?;
            addresses.push((name, application.http));
            iam = iam.or((name == Iam::NAME).then_some(application.grpc));
            running.run(name, application.run());
        }
        let places = Places::of(&addresses, iam.context("iam does not run")?);
        let gateway =
            Gateway::build(self.gateway(&self.site.told, &places)?, running.announce(gateway::NAME))?;
        addresses.push((gateway::NAME, gateway.http));
        let reload = gateway.reloader();
        running.run(gateway::NAME, gateway.run());
        tokio::select! {
            outcome = postgres::keep_up(cluster, self.stop) => outcome,
            error = running.ended() => Err(error),
            error = self.tell_when_ready(&addresses) => Err(error),
            never = self.read_anew(&reload, &places) => match never {},
        }
    }

    /// What the gateway is told.
    ///
    /// # Errors
    /// When it is not what the gateway takes.
    pub(crate) fn gateway(&self, told: &Told, places: &Places) -> Result<gateway::Settings> {
        let mut decided = self.site.decided(self.front);
        config::put_over(
            &mut decided,
            json!({ "service": { "operator_key": "", "upstreams": places.upstreams, "iam": places.iam } }),
        );
        let over = told.over_defaults(gateway::NAME, decided)?;
        let mut settings: gateway::Settings =
            config::with_overrides(gateway::DEFAULTS, over).context(gateway::NAME)?;
        settings.service.operator_key = operator::key(self.operator_key.as_ref(), self.folder)?;
        Ok(settings)
    }

    /// Has the gateway go by the settings and the operator's key as they are now, each time that someone asks for it.
    async fn read_anew(&self, reload: &Reload, places: &Places) -> Infallible {
        loop {
            self.hang_ups.notified().await;
            reload.apply_and_tell(|| {
                let told = self.file.read()?;
                let settings = self.gateway(&told, places)?;
                let processes = self.site.told.differing(&told);
                if !processes.is_empty() {
                    let processes = processes.join(", ");
                    tracing::warn!(processes, "the settings of these change with a restart alone");
                }
                Ok(settings)
            });
        }
    }

    /// Ends only if something does not become ready in time.
    async fn tell_when_ready(&self, addresses: &[(&str, SocketAddr)]) -> anyhow::Error {
        let deadline = Instant::now() + READY;
        for (name, http) in addresses {
            while let Err(error) = healthcheck(*http, None).await {
                if Instant::now() >= deadline {
                    return error.context(format!("{name} did not become ready in {} s", READY.as_secs()));
                }
                sleep(READY_POLL).await;
            }
        }
        if self.demo {
            self.publish_demo().await;
        }
        say::line(format_args!("nno is ready: http://{}", self.front));
        std::future::pending().await
    }

    async fn publish_at(&self, front: SocketAddr) -> Result<(usize, usize)> {
        let key = operator::key(self.operator_key.as_ref(), self.folder)?;
        stack::publish_demo(&format!("http://{front}"), key).await
    }

    /// Publishes the templates to start with, as a client would. The system is ready without them.
    async fn publish_demo(&self) {
        let mut front = self.front;
        if front.ip().is_unspecified() {
            front.set_ip(Ipv4Addr::LOCALHOST.into());
        }
        match self.publish_at(front).await {
            Ok((changed, all)) => say::line(format_args!("demo templates: {changed} of {all} published now")),
            Err(error) => {
                tracing::warn!(error = format!("{error:#}"), "the demo templates are not published");
                say::line(format_args!("demo templates: not published: {error:#}"));
            }
        }
    }
}
