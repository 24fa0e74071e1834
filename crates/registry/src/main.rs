//! The registry as a standalone process.

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    service::main::<registry::Registry>().await
}
