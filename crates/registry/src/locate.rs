//! Finds what the path of a write leads to.
//!
//! A handler finds it itself, within its transaction. This is for writes whose body has faults: they do not come that
//! far, and someone who does not reach what the path leads to must get the answer that they get for a valid body.

use std::pin::Pin;

use actix_web::{HttpRequest, web::Data};
use database::Conn;
use domain::{DnsRecordId, DomainId, EntityId, PlatformId, ResourceId, Result, StackId};
use identity::{Ctx, PlatformScope};

use crate::{App, dns, domains, entities, platforms, resources, stacks};

/// What a path leads to. What can be no id is refused by the extractor of the path.
struct Target {
    entity: Option<EntityId>,
    stack: Option<StackId>,
    dns_record: Option<DnsRecordId>,
    resource: Option<ResourceId>,
    domain: Option<DomainId>,
}

/// Finds what the path of a request leads to.
///
/// # Errors
/// [`domain::Kind::NotFound`] when it is not there, or lies outside of what the caller reaches.
pub(crate) fn locate(request: HttpRequest, ctx: Ctx) -> Pin<Box<dyn Future<Output = Result<()>>>> {
    Box::pin(async move {
        let platform = part(&request, "platformId", PlatformId::parse);
        let (Some(app), Some(platform)) = (request.app_data::<Data<App>>(), platform) else {
            return Ok(());
        };
        let scope = ctx.platform(&platform)?;
        let target = Target::of(&request);
        app.db
            .read(&ctx, async |c| {
                platforms::store::live(c, &scope).await?;
                target.find(c, &scope).await
            })
            .await
    })
}

fn part<T, E>(request: &HttpRequest, name: &str, parse: impl Fn(&str) -> Result<T, E>) -> Option<T> {
    request.match_info().get(name).and_then(|text| parse(text).ok())
}

impl Target {
    fn of(request: &HttpRequest) -> Self {
        Self {
            entity: part(request, "entityId", EntityId::parse),
            stack: part(request, "stackId", StackId::parse),
            dns_record: part(request, "dnsId", DnsRecordId::parse),
            resource: part(request, "resourceId", ResourceId::parse),
            domain: part(request, "domainId", DomainId::parse),
        }
    }

    /// Builds are the platform's, and are seen by who sees it.
    async fn find(&self, c: &Conn, scope: &PlatformScope) -> Result<()> {
        if let Some(entity) = self.entity.as_ref().filter(|id| !resources::ops::is_platform(scope, id)) {
            entities::store::get(c, scope, entity).await?;
        }
        match (self.dns_record, &self.stack) {
            // Its stack may be anyone's.
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
