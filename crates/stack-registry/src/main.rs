//! The stack registry as a process of its own.

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    service::main::<stack_registry::StackRegistry>().await
}
