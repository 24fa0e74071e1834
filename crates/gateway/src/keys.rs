//! The way in with an API key: iam knows whose it is.

use std::sync::Arc;

use domain::Result;
use futures_util::future::{BoxFuture, FutureExt};
use kit::{Caller, clock, identity::ActorType};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::{auth::Way, iam::Iam};

/// What every key begins with.
const START: &str = "nno_";

/// A key as iam is asked about it. It does not hold the secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct ApiKey {
    pub(crate) id: Uuid,
    pub(crate) secret_digest: [u8; 32],
}

/// Reads `nno_<id>_<secret>`; none for anything else.
fn parse(text: &str) -> Option<ApiKey> {
    let (id, secret) = text.strip_prefix(START)?.split_once('_')?;
    let is_simple = id.len() == 32 && id.bytes().all(|c| c.is_ascii_digit() || (b'a'..=b'f').contains(&c));
    let is_secret = (1..=128).contains(&secret.len()) && secret.bytes().all(|c| c.is_ascii_alphanumeric());
    if !is_simple || !is_secret {
        return None;
    }
    Some(ApiKey { id: Uuid::try_parse(id).ok()?, secret_digest: Sha256::digest(secret).into() })
}

/// Callers with an API key.
pub(crate) struct ApiKeys(Arc<Iam>);

impl ApiKeys {
    pub(crate) fn new(iam: Arc<Iam>) -> Self {
        Self(iam)
    }

    async fn find(&self, key: ApiKey) -> Result<Option<Caller>> {
        let Some(known) = self.0.key(key).await? else { return Ok(None) };
        // What is remembered may have expired since it was asked for.
        if known.expires_at.is_some_and(|at| at <= clock::now().timestamp_millis()) {
            return Ok(None);
        }
        Ok(Some(Caller::known(format!("apikey:{}", key.id), ActorType::Apikey, vec![known.grant])))
    }
}

impl Way for ApiKeys {
    fn caller<'a>(&'a self, credential: &'a str) -> BoxFuture<'a, Result<Option<Caller>>> {
        let key = parse(credential);
        async move {
            match key {
                Some(key) => self.find(key).await,
                None => Ok(None),
            }
        }
        .boxed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_read_in_one_way_alone() {
        let id = Uuid::now_v7();
        let key = parse(&format!("nno_{}_Secret1", id.simple())).unwrap();
        assert_eq!(key, ApiKey { id, secret_digest: Sha256::digest("Secret1").into() });
        let simple = id.simple();
        for text in [
            format!("nno_{simple}"),
            format!("nno_{simple}_"),
            format!("nno_{id}_Secret1"),
            format!("NNO_{simple}_Secret1"),
            format!("nno_{}_Secret1", simple.to_string().to_uppercase()),
            format!("nno_{simple}_Secret_1"),
            format!("nno_{simple}_{}", "x".repeat(129)),
            String::new(),
        ] {
            assert_eq!(parse(&text), None, "{text}");
        }
    }
}
