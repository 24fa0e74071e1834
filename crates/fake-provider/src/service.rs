//! The provisioning service with the fake provider.

use std::sync::Arc;

use anyhow::{Context, Result};
use database::{CounterSource, Migrations};
use provisioning::{Provisioning, ProvisioningSettings, providers::Clock};
use runtime::{clock, shutdown::Shutdown};
use saga::FaultInjector;
use service::{Application, Service, Settings};
use utoipa::openapi::OpenApi;

use crate::FakeProvider;

/// The provisioning service with a [`FakeProvider`] that stores its state in the `data_dir` of the settings.
#[derive(Debug)]
pub struct FakeProvisioning;

impl Service for FakeProvisioning {
    const NAME: &'static str = Provisioning::NAME;
    const DEFAULTS: &'static str = Provisioning::DEFAULTS;
    type Settings = ProvisioningSettings;

    fn migrations() -> Migrations {
        Provisioning::migrations()
    }

    fn counter_sources() -> &'static [CounterSource] {
        Provisioning::counter_sources()
    }

    fn grpc_callers() -> Vec<(&'static str, service::Callers)> {
        Provisioning::grpc_callers()
    }

    fn openapi() -> OpenApi {
        Provisioning::openapi()
    }

    async fn build(settings: Settings<ProvisioningSettings>, shutdown: Shutdown) -> Result<Application> {
        Self::build_with_fault_injector(settings, shutdown, None).await
    }
}

impl FakeProvisioning {
    /// Starts the service with a fault injector for its sagas.
    ///
    /// # Errors
    /// Those of [`Service::build`].
    pub async fn build_with_fault_injector(
        settings: Settings<ProvisioningSettings>,
        shutdown: Shutdown,
        fault_injector: Option<FaultInjector>,
    ) -> Result<Application> {
        let clock = Clock::from_fn(|| clock::now().timestamp_millis());
        let folder = &settings.service.data_dir;
        let provider = FakeProvider::open(folder, None, clock)
            .with_context(|| format!("cannot use the data folder {} of the provider", folder.display()))?;
        Provisioning::build_with(settings, shutdown, Arc::new(provider), fault_injector).await
    }
}
