//! The provisioning service with the fake provider, for benchmarks.

use fake_provider::FakeProvisioning;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    service::main::<FakeProvisioning>().await
}
