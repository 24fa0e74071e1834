//! Finds the objects that the path of a write names.
//!
//! A handler does this within its transaction. This function serves writes whose body is invalid and never reaches the
//! handler: a caller who cannot see the object must get the same answer as for a valid body.

use std::pin::Pin;

use actix_web::{HttpRequest, web::Data};
use database::Conn;
use domain::{DnsRecordId, DomainId, EntityId, PlatformId, ResourceId, Result, StackId};
use identity::{Ctx, PlatformScope};

use crate::{App, dns, domains, entities, platforms, resources, stacks};

/// The objects named by a path. The path extractor rejects malformed ids.
struct Target {
    entity: Option<EntityId>,
    stack: Option<StackId>,
    dns_record: Option<DnsRecordId>,
    resource: Option<ResourceId>,
    domain: Option<DomainId>,
}

/// Checks that the objects named by a request's path exist.
///
/// # Errors
/// [`domain::Kind::NotFound`] if an object does not exist or lies outside the caller's scope.
pub(crate) fn locate(request: HttpRequest, ctx: Ctx) -> Pin<Box<dyn Future<Output = Result<()>>>> {
    Box::pin(async move {
        let platform = path_parameter(&request, "platformId", PlatformId::parse);
        let (Some(app), Some(platform)) = (request.app_data::<Data<App>>(), platform) else {
            return Ok(());
        };
        let scope = ctx.platform(&platform)?;
        let target = Target::from_request(&request);
        app.db
            .read(&ctx, async |c| {
                platforms::store::check_exists(c, &scope).await?;
                target.find(c, &scope).await
            })
            .await
    })
}

fn path_parameter<T, E>(
    request: &HttpRequest,
    name: &str,
    parse: impl Fn(&str) -> Result<T, E>,
) -> Option<T> {
    request.match_info().get(name).and_then(|text| parse(text).ok())
}

impl Target {
    fn from_request(request: &HttpRequest) -> Self {
        Self {
            entity: path_parameter(request, "entityId", EntityId::parse),
            stack: path_parameter(request, "stackId", StackId::parse),
            dns_record: path_parameter(request, "dnsId", DnsRecordId::parse),
            resource: path_parameter(request, "resourceId", ResourceId::parse),
            domain: path_parameter(request, "domainId", DomainId::parse),
        }
    }

    /// Builds are skipped: they belong to the platform, so the check of the platform covers them.
    async fn find(&self, c: &Conn, scope: &PlatformScope) -> Result<()> {
        if let Some(entity) = self.entity.as_ref().filter(|id| !resources::ops::is_whole_platform(scope, id))
        {
            entities::store::get(c, scope, entity).await?;
        }
        match (self.dns_record, &self.stack) {
            // The stack in the path may belong to another entity.
            (Some(record), _) => drop(dns::store::get(c, scope, record).await?),
            (None, Some(stack)) if *stack != StackId::default_stack() => {
                stacks::store::get(c, scope, stack).await?;
            }
            _ => {}
        }
        if let Some(resource) = self.resource {
            resources::store::get(c, scope, resource).await?;
        }
        if let Some(domain) = self.domain {
            domains::store::get(c, scope, domain).await?;
        }
        Ok(())
    }
}
