//! Process of the stack registry.

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    service::main::<stack_registry::StackRegistry>().await
}
