//! Asking the stack registry for versions of templates. What was used once is kept: without a stack registry, only what
//! was never seen is missing.

use std::time::Duration;

use domain::{Error, Kind, Name, Result, Version, masked::masked_text};
use identity::Ctx;
use rpc::{
    Client, PeerCall,
    stack_registry::{GetTemplateRequest, GetVersionRequest, Version as Told},
};

use super::{definition::Known, model::TemplateVersion, store};
use crate::App;

/// How long is waited for the stack registry: someone waits for the answer.
const CALL: PeerCall<'static> = PeerCall { key: None, deadline: Some(Duration::from_secs(2)) };
const ACTIVE: &str = "active";

/// The newest active version of a template, by the template's id or name. Never called with a connection in hand.
///
/// # Errors
/// [`Kind::TemplateUnavailable`] when the template is unknown or deprecated or has no active version,
/// [`Kind::ServiceUnavailable`] when the stack registry cannot be asked, [`Kind::Upstream`] when its answer is none.
pub(super) async fn newest_version(app: &App, ctx: &Ctx, template: &Name) -> Result<Known> {
    let peer = &app.stack_registry;
    let answer = peer.call_with(ctx, CALL, GetTemplateRequest { template: template.to_string() }).await;
    let told = answer.map_err(|error| refused(error, template))?;
    let found = told.template.ok_or_else(|| nonsense(template, "no template"))?;
    if found.status != ACTIVE {
        return Err(unavailable(template, "is deprecated"));
    }
    let version = told.latest_version.ok_or_else(|| unavailable(template, "has no active version"))?;
    read(app, peer, &found.name, version).await
}

/// A version of a template, by the template's name. Never called with a connection in hand.
///
/// # Errors
/// As of [`newest_version`]; where the stack registry cannot be asked, only of a version that was never used.
pub(super) async fn version(app: &App, ctx: &Ctx, name: &str, version: &Version) -> Result<Known> {
    let peer = &app.stack_registry;
    let message = GetVersionRequest { name: name.to_owned(), version: version.to_string() };
    let answer = peer.call_with(ctx, CALL, message).await;
    let which = format!("{name} {version}");
    match answer.map_err(|error| refused(error, &which)) {
        Ok(told) => {
            let told = told.version.ok_or_else(|| nonsense(&which, "no version"))?;
            if told.version != version.as_str() {
                return Err(nonsense(&which, "another version"));
            }
            if told.status != ACTIVE {
                return Err(unavailable(&which, "is deprecated"));
            }
            read(app, peer, name, told).await
        }
        // Whether it is deprecated by now is not known, and what it is made of never changes.
        Err(error) if error.kind() == Kind::ServiceUnavailable => {
            app.db.read(ctx, async |c| store::known(c, name, version).await).await?.ok_or(error)
        }
        Err(error) => Err(error),
    }
}

/// The version as it is kept, or else as it was told.
async fn read(app: &App, peer: &Client<rpc::StackRegistry>, name: &str, told: Told) -> Result<Known> {
    let which = format!("{name} {}", told.version);
    let version = Version::parse(&told.version).map_err(|why| nonsense(&which, &why))?;
    let told = TemplateVersion {
        template_name: name.to_owned(),
        version,
        template_id: told.template_id,
        definition: told.stack_definition,
    };
    let kept = app.db.own_read(async |c| store::known(c, name, &told.version).await).await?;
    match kept {
        Some(kept) => {
            if kept.row().definition != told.definition {
                tracing::warn!(which, "the {} tells a version anew that never changes", peer.peer().name());
            }
            Ok(kept)
        }
        None => Known::told(told).map_err(|why| nonsense(&which, &why)),
    }
}

fn refused(error: Error, which: impl std::fmt::Display) -> Error {
    match error.kind() {
        Kind::NotFound | Kind::Validation => unavailable(which, "is not known").context(error.log_context()),
        kind if kind.is_transient() => Error::unavailable("The stack registry", error.log_context()),
        _ => Error::internal(error.message()).context(error.log_context()),
    }
}

fn unavailable(which: impl std::fmt::Display, why: &str) -> Error {
    let which = masked_text(which.to_string());
    Error::new(Kind::TemplateUnavailable, format!("The template '{which}' {why}")).with("template", which)
}

/// The stack registry's answer cannot be what it has: it is not believed.
fn nonsense(which: impl std::fmt::Display, why: &str) -> Error {
    let message = format!("The stack registry's answer for '{which}' is not a stack definition");
    Error::new(Kind::Upstream, message).context(why)
}
