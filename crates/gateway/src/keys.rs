//! Authentication with an API key, which iam resolves.

use std::sync::Arc;

use domain::Result;
use futures_util::future::{BoxFuture, FutureExt};
use identity::{ActorType, Caller};
use runtime::clock;

use crate::{
    auth::AuthMethod,
    iam::{ApiKey, Iam},
};

/// Parses an API key; `None` if the text is not one.
fn parse(text: &str) -> Option<ApiKey> {
    let key = domain::ApiKey::parse(text).ok()?;
    Some(ApiKey { id: key.id(), secret_digest: key.secret_digest() })
}

/// Authenticates callers by API key.
pub(crate) struct ApiKeys(Arc<Iam>);

impl ApiKeys {
    pub(crate) fn new(iam: Arc<Iam>) -> Self {
        Self(iam)
    }

    async fn find(&self, key: ApiKey) -> Result<Option<Caller>> {
        let Some(known) = self.0.key(key).await? else { return Ok(None) };
        // A cached key may have expired since it was resolved.
        if known.expires_at.is_some_and(|at| at <= clock::now().timestamp_millis()) {
            return Ok(None);
        }
        Ok(Some(Caller::authenticated(format!("apikey:{}", key.id), ActorType::Apikey, vec![known.grant])))
    }
}

impl AuthMethod for ApiKeys {
    fn is_unguessable(&self, credential: &str) -> bool {
        parse(credential).is_some()
    }

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
