//! Resolution of a presented key.

use domain::Result;
use runtime::clock;
use subtle::ConstantTimeEq;
use uuid::Uuid;

use super::{model::KeyRow, store};
use crate::App;

/// Digest to compare with if no key is found, so that both cases take the same time.
const DUMMY_DIGEST: [u8; 32] = [0; 32];

/// The key with this id, if the digest is that of its secret and it is neither expired nor revoked.
pub(crate) async fn resolve(app: &App, id: Uuid, secret_digest: &[u8]) -> Result<Option<KeyRow>> {
    let found = app.db.service_read(async |c| store::with_digest(c, id).await).await?;
    let digest = found.as_ref().map_or(DUMMY_DIGEST.as_slice(), |(_, digest)| digest);
    let same = bool::from(digest.ct_eq(secret_digest));
    let now = clock::now();
    let key = found
        .map(|(key, _)| key)
        .filter(|key| same && key.revoked_at.is_none() && key.expires_at.is_none_or(|end| now < end));
    if let Some(key) = &key {
        app.usage.record(key.id, now);
    }
    Ok(key)
}
