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
    /// The caller that the credential identifies; `None` if it is not a valid credential of this method.
    ///
    /// # Errors
    /// When the method cannot decide now.
    fn caller<'a>(&'a self, credential: &'a str) -> BoxFuture<'a, Result<Option<Caller>>>;

    /// Returns true if the text has the form of this method's credentials, and that form cannot be guessed.
    fn is_of_form(&self, _credential: &str) -> bool {
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

    /// The caller who sent a request with these headers.
    ///
    /// # Errors
    /// [`Kind::Unauthorized`], always in the same words, or the error of a method that cannot decide now.
    pub(crate) async fn caller(&self, headers: &HeaderMap) -> Result<Caller> {
        if let Some(credential) = credential(headers) {
            for method in self.0.iter() {
                if let Some(caller) = method.caller(credential).await? {
                    return Ok(caller);
                }
            }
        }
        Err(Error::new(Kind::Unauthorized, "A valid credential is needed: Authorization: Bearer ..."))
    }
}

impl Authenticator {
    /// Whether what these headers show could be found by trying: it is none of the credentials that are drawn at random
    /// or signed.
    pub(crate) fn is_guessable(&self, headers: &HeaderMap) -> bool {
        credential(headers).is_none_or(|text| !self.0.iter().any(|method| method.is_of_form(text)))
    }
}

/// The credential of the one `Authorization` header; two could be read as either.
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

    /// Takes as long whatever the credential is: digests are compared, all of their bytes.
    fn is(&self, credential: &str) -> bool {
        let other: [u8; 32] = Sha256::digest(credential).into();
        other.ct_eq(&self.0).into()
    }
}

impl AuthMethod for OperatorKey {
    fn caller<'a>(&'a self, credential: &'a str) -> BoxFuture<'a, Result<Option<Caller>>> {
        ready(Ok(self.is(credential).then(Caller::operator))).boxed()
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
    async fn methods_are_tried_in_order() {
        let key = || Box::new(OperatorKey::new("the-operators-key"));
        let good = headers(&["Bearer the-operators-key"]);
        let both = Authenticator::new(vec![Box::new(OperatorKey::new("another-operators-key")), key()]);
        assert_eq!(both.caller(&good).await.unwrap().id, "operator");
        let first = Authenticator::new(vec![key(), Box::new(Broken)]);
        assert_eq!(first.caller(&good).await.unwrap().id, "operator", "the second method was not needed");
        let other = first.caller(&headers(&["Bearer something-else"])).await.unwrap_err();
        assert_eq!(
            other.kind(),
            Kind::ServiceUnavailable,
            "not knowing is not the same as knowing it is wrong"
        );
    }

    #[test]
    fn a_credential_is_taken_from_one_bearer_header_alone() {
        assert_eq!(credential(&headers(&["Bearer abc"])), Some("abc"));
        assert_eq!(credential(&headers(&["bEARER  abc "])), Some("abc"));
        for values in
            [&[][..], &["abc"], &["Bearer"], &["Bearer "], &["Basic abc"], &["Bearer a", "Bearer a"]]
        {
            assert_eq!(credential(&headers(values)), None, "{values:?}");
        }
    }
}
