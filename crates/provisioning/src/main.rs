//! Provisioning as a separate process.

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    service::main::<provisioning::Provisioning>().await
}
