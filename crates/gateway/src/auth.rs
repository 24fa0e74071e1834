//! Authentication: the methods, tried in order.

use std::sync::Arc;

use actix_web::http::header::{AUTHORIZATION, HeaderMap};
use domain::{Error, Kind, Result};
use futures_util::future::{BoxFuture, FutureExt, ready};
use identity::Caller;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

/// A method of authentication.
pub(crate) trait AuthMethod: Send + Sync {
    /// Returns the caller that the credential identifies; `None` if it is not a valid credential of this method.
    ///
    /// # Errors
    /// When the method cannot decide now.
    fn caller<'a>(&'a self, credential: &'a str) -> BoxFuture<'a, Result<Option<Caller>>>;

    /// Returns true if the text has the form of this method's credentials and such credentials cannot be guessed.
    fn is_unguessable(&self, _credential: &str) -> bool {
        false
    }
}

/// All methods.
#[derive(Clone)]
pub(crate) struct Authenticator(Arc<[Box<dyn AuthMethod>]>);

impl Authenticator {
    pub(crate) fn new(methods: Vec<Box<dyn AuthMethod>>) -> Self {
        Self(methods.into())
    }

    /// Returns the caller who sent a request with these headers.
    ///
    /// # Errors
    /// [`Kind::Unauthorized`], always with the same message, or the error of a method that cannot decide now.
    pub(crate) async fn caller(&self, headers: &HeaderMap) -> Result<Caller> {
        if let Some(credential) = credential(headers) {
            for method in self.0.iter() {
                if let Some(caller) = method.caller(credential).await? {
                    return Ok(caller);
                }
            }
        }
        let message =
            "The request has no valid credential. Send one as 'Authorization: Bearer <credential>'.";
        Err(Error::new(Kind::Unauthorized, message))
    }

    /// Returns true if the credential in these headers could be guessed, because it is neither random nor signed.
    pub(crate) fn is_guessable(&self, headers: &HeaderMap) -> bool {
        credential(headers).is_none_or(|text| !self.0.iter().any(|method| method.is_unguessable(text)))
    }
}

/// Returns the credential of the `Authorization` header; `None` if there are two, which would be ambiguous.
fn credential(headers: &HeaderMap) -> Option<&str> {
    let mut values = headers.get_all(AUTHORIZATION);
    let (Some(value), None) = (values.next(), values.next()) else { return None };
    let (scheme, credential) = value.to_str().ok()?.split_once(' ')?;
    let credential = credential.trim_matches(' ');
    (scheme.eq_ignore_ascii_case("bearer") && !credential.is_empty()).then_some(credential)
}

/// The static operator key.
pub(crate) struct OperatorKey([u8; 32]);

impl OperatorKey {
    pub(crate) fn new(key: &str) -> Self {
        Self(Sha256::digest(key).into())
    }

    /// Compares digests in constant time.
    fn matches(&self, credential: &str) -> bool {
        let other: [u8; 32] = Sha256::digest(credential).into();
        other.ct_eq(&self.0).into()
    }
}

impl AuthMethod for OperatorKey {
    fn caller<'a>(&'a self, credential: &'a str) -> BoxFuture<'a, Result<Option<Caller>>> {
        ready(Ok(self.matches(credential).then(Caller::operator))).boxed()
    }
}

#[cfg(test)]
mod tests {
    use actix_web::http::header::HeaderValue;

    use super::*;

    /// A method that cannot decide.
    struct Broken;

    impl AuthMethod for Broken {
        fn caller<'a>(&'a self, _: &'a str) -> BoxFuture<'a, Result<Option<Caller>>> {
            ready(Err(Error::unavailable("iam", "test"))).boxed()
        }
    }

    fn headers(values: &[&str]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(AUTHORIZATION, HeaderValue::from_str(value).unwrap());
        }
        headers
    }

    #[tokio::test]
    async fn methods_are_tried_in_order_until_one_decides() {
        let key = || Box::new(OperatorKey::new("the-operators-key"));
        let good = headers(&["Bearer the-operators-key"]);
        let both = Authenticator::new(vec![Box::new(OperatorKey::new("another-operators-key")), key()]);
        assert_eq!(both.caller(&good).await.unwrap().id, "operator");
        let first = Authenticator::new(vec![key(), Box::new(Broken)]);
        assert_eq!(first.caller(&good).await.unwrap().id, "operator", "the second method was not needed");
        let other = first.caller(&headers(&["Bearer something-else"])).await.unwrap_err();
        assert_eq!(other.kind(), Kind::ServiceUnavailable, "a method that cannot decide is not a rejection");
    }

    #[test]
    fn credential_comes_from_a_single_bearer_header() {
        assert_eq!(credential(&headers(&["Bearer abc"])), Some("abc"));
        assert_eq!(credential(&headers(&["bEARER  abc "])), Some("abc"));
        for values in
            [&[][..], &["abc"], &["Bearer"], &["Bearer "], &["Basic abc"], &["Bearer a", "Bearer a"]]
        {
            assert_eq!(credential(&headers(values)), None, "{values:?}");
        }
    }
}
