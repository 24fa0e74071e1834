use tokio_postgres::{Client, Config, Error, NoTls};

/// Opens a connection that is closed when the client is dropped.
pub(crate) async fn connect(config: &Config) -> Result<Client, Error> {
    let (client, connection) = config.connect(NoTls).await?;
    tokio::spawn(async move {
        // The calls of the client return the same error.
        if let Err(error) = connection.await {
            tracing::debug!(%error, "connection to PostgreSQL ended");
        }
    });
    Ok(client)
}
