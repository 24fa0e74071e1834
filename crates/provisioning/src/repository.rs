//! Git repository of a platform, created from the starter.

use domain::{Error, PlatformId, Result};
use runtime::clock;

use crate::{
    App,
    providers::{
        Owner, ResourceKind, Spec, Target, parse_resource_name,
        starter::{Author, Starter},
    },
    steps::into_domain_error,
};

/// Repository with its newest commit.
#[derive(Debug, Clone)]
pub(crate) struct Repository {
    pub(crate) name: String,
    pub(crate) commit: String,
}

/// Creates the platform's repository with one commit, or returns the existing one.
pub(crate) async fn ensure(app: &App, platform: &PlatformId, name: &str, slug: &str) -> Result<Repository> {
    let parse = |text: &str| parse_resource_name(text).map_err(into_domain_error);
    let author = Author { name: "NNO".to_owned(), email: format!("nno@{}", app.base_domain) };
    let starter =
        Starter::new(parse(platform.as_str())?, name, parse(slug)?, author, clock::now().timestamp())
            .map_err(into_domain_error)?;
    let (owner, spec) = (Owner::of(platform), Spec::Starter(starter));
    let target = Target::new(&owner, ResourceKind::GitRepository, platform.as_str(), spec)
        .map_err(into_domain_error)?;
    let observed = app.provider.ensure(&target).await.map_err(into_domain_error)?;
    let head =
        observed.details.get("head").and_then(|head| head.as_str().or_else(|| head.get("commit")?.as_str()));
    let commit = head.map(str::to_owned).unwrap_or_default();
    Ok(Repository { name: platform.to_string(), commit })
}

/// Deletes the platform's repository. Succeeds if it does not exist.
pub(crate) async fn delete(app: &App, platform: &PlatformId) -> Result<(), Error> {
    let target = Target::plain(&Owner::of(platform), ResourceKind::GitRepository, platform.as_str());
    app.provider.destroy(&target.map_err(into_domain_error)?).await.map_err(into_domain_error)?;
    Ok(())
}
