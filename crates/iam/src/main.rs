//! Process of the iam service.

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    service::main::<iam::Iam>().await
}
