//! Path parameters. The id of a platform is extracted as the caller's scope in that platform, so that a handler cannot
//! use a platform without an access check.

use std::future::{Ready, ready};

use actix_web::{FromRequest, HttpRequest, dev::Payload, web};
use domain::{
    BuildId, DnsRecordId, DomainId, EntityId, Error, JobId, Kind, PlatformId, ResourceId, Result, Slug,
    StackId, Version, masked::masked_path,
};
use identity::{Caller, PlatformScope};
use serde::de::DeserializeOwned;
use uuid::Uuid;

use crate::{HttpError, extract::context};

/// A path parameter other than [`PlatformId`], which becomes a [`PlatformScope`].
pub trait PathPart: DeserializeOwned {}

impl PathPart for BuildId {}
impl PathPart for DnsRecordId {}
impl PathPart for DomainId {}
impl PathPart for EntityId {}
impl PathPart for JobId {}
impl PathPart for ResourceId {}
impl PathPart for Slug {}
impl PathPart for StackId {}
impl PathPart for String {}
impl PathPart for Uuid {}
impl PathPart for Version {}

/// All parameters of a path.
pub trait PathParts: DeserializeOwned {
    /// The parameters, with the caller's scope in place of a platform's id.
    type Checked;

    /// Checks the parameters against the caller's scope.
    ///
    /// # Errors
    /// Those of [`identity::Scope::platform`].
    fn check(self, caller: &Caller) -> Result<Self::Checked>;
}

impl<A: PathPart> PathParts for A {
    type Checked = A;

    fn check(self, _: &Caller) -> Result<A> {
        Ok(self)
    }
}

impl<A: PathPart, B: PathPart> PathParts for (A, B) {
    type Checked = (A, B);

    fn check(self, _: &Caller) -> Result<(A, B)> {
        Ok(self)
    }
}

impl PathParts for PlatformId {
    type Checked = PlatformScope;

    fn check(self, caller: &Caller) -> Result<PlatformScope> {
        caller.scope.platform(&self)
    }
}

impl<A: PathPart> PathParts for (PlatformId, A) {
    type Checked = (PlatformScope, A);

    fn check(self, caller: &Caller) -> Result<Self::Checked> {
        Ok((caller.scope.platform(&self.0)?, self.1))
    }
}

impl<A: PathPart, B: PathPart> PathParts for (PlatformId, A, B) {
    type Checked = (PlatformScope, A, B);

    fn check(self, caller: &Caller) -> Result<Self::Checked> {
        Ok((caller.scope.platform(&self.0)?, self.1, self.2))
    }
}

/// The extractor of path parameters. A platform outside the caller's scope yields 404 or 403. A malformed id cannot
/// exist and yields 404 without a query.
#[derive(Debug)]
pub struct Path<T: PathParts>(pub T::Checked);

impl<T: PathParts> FromRequest for Path<T> {
    type Error = HttpError;
    type Future = Ready<Result<Self, HttpError>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let checked = || {
            let context = context(request)?;
            parts::<T>(request)?.check(&context.caller).map(Self)
        };
        ready(checked().map_err(HttpError))
    }
}

fn parts<T: DeserializeOwned>(request: &HttpRequest) -> Result<T> {
    web::Path::<T>::extract(request).into_inner().map(web::Path::into_inner).map_err(|error| {
        let message = format!("'{}' does not exist.", masked_path(request.path()));
        Error::new(Kind::NotFound, message).context(error)
    })
}

#[cfg(test)]
mod tests {
    use static_assertions::{assert_not_impl_any, assert_type_eq_all};

    use super::*;

    // A handler cannot extract the id of a platform without the caller's scope in it.
    assert_not_impl_any!(PlatformId: PathPart);
    assert_type_eq_all!(<PlatformId as PathParts>::Checked, PlatformScope);
    assert_type_eq_all!(<(PlatformId, Uuid) as PathParts>::Checked, (PlatformScope, Uuid));
    assert_type_eq_all!(
        <(PlatformId, EntityId, Slug) as PathParts>::Checked,
        (PlatformScope, EntityId, Slug)
    );
}
