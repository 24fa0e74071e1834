//! The Git repository of a platform, made from the starter.

use domain::{Error, PlatformId, Result};
use runtime::clock;

use crate::{
    App,
    providers::{
        Owner, ResourceKind, Spec, Target, parse_resource_name,
        starter::{Author, Starter},
    },
    steps::fault,
};

/// A repository and its newest commit.
#[derive(Debug, Clone)]
pub(crate) struct Repository {
    pub(crate) name: String,
    pub(crate) commit: String,
}

/// Makes the platform's repository with one commit, or gives the one that is there.
pub(crate) async fn ensure(app: &App, platform: &PlatformId, name: &str, slug: &str) -> Result<Repository> {
    let part = |text: &str| parse_resource_name(text).map_err(fault);
    let author = Author { name: "NNO".to_owned(), email: format!("nno@{}", app.base_domain) };
    let starter = Starter::new(part(platform.as_str())?, name, part(slug)?, author, clock::now().timestamp())
        .map_err(fault)?;
    let (owner, spec) = (Owner::of(platform), Spec::Starter(starter));
    let target = Target::new(&owner, ResourceKind::GitRepository, platform.as_str(), spec).map_err(fault)?;
    let made = app.provider.ensure(&target).await.map_err(fault)?;
    let head =
        made.details.get("head").and_then(|head| head.as_str().or_else(|| head.get("commit")?.as_str()));
    let commit = head.map(str::to_owned).unwrap_or_default();
    Ok(Repository { name: platform.to_string(), commit })
}

/// Removes it; one that is not there is no fault.
pub(crate) async fn delete(app: &App, platform: &PlatformId) -> Result<(), Error> {
    let target = Target::plain(&Owner::of(platform), ResourceKind::GitRepository, platform.as_str());
    app.provider.destroy(&target.map_err(fault)?).await.map_err(fault)?;
    Ok(())
}
