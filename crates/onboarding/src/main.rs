//! The onboarding service as a separate process.

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    service::main::<onboarding::Onboarding>().await
}
