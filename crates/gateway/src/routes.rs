//! Routing of paths to services.

use std::borrow::Cow;

use domain::{Error, Kind, Result, masked::masked_path};
use percent_encoding::percent_decode_str;
use stack_definition::{DEFINITION_SCHEMA_PATH, MANIFEST_SCHEMA_PATH};
use uuid::Uuid;

use crate::upstream::Upstream;

/// The paths that the gateway serves itself.
pub(crate) const GATEWAY_PATHS: [&str; 6] =
    ["/health", "/ready", "/openapi.json", "/docs", DEFINITION_SCHEMA_PATH, MANIFEST_SCHEMA_PATH];

/// A path prefix that one service serves.
struct Prefix {
    /// The prefix of the client's path.
    public: &'static str,
    upstream: Upstream,
    /// The prefix of the service's path.
    internal: &'static str,
}

/// The routing table. The longest prefix that ends at a segment boundary wins.
const TABLE: &[Prefix] = &[
    same("/api/v1/platforms", Upstream::Registry),
    same("/api/v1/resources", Upstream::Registry),
    same("/api/v1/lookup", Upstream::Registry),
    same("/api/v1/audit", Upstream::Registry),
    same("/api/v1/domains", Upstream::Registry),
    same("/api/v1/stacks", Upstream::StackRegistry),
    same("/api/v1/onboarding", Upstream::Onboarding),
    same("/api/v1/iam", Upstream::Iam),
    Prefix {
        public: "/api/v1/provisioning",
        upstream: Upstream::Provisioning,
        internal: "/api/v1/provision",
    },
];

const fn same(path: &'static str, upstream: Upstream) -> Prefix {
    Prefix { public: path, upstream, internal: path }
}

/// Returns the client's path for a path template of a service; `None` if clients cannot call it.
pub(crate) fn public_path(upstream: Upstream, path: &str) -> Option<String> {
    const ROOTS: [&str; 3] = ["/", "/admin/sessions", "/{onboardingId}"];
    if upstream == Upstream::Onboarding && ROOTS.contains(&path) {
        return Some(path.to_owned());
    }
    TABLE.iter().filter(|prefix| prefix.upstream == upstream).find_map(|prefix| {
        let rest = path.strip_prefix(prefix.internal)?;
        (rest.is_empty() || rest.starts_with('/')).then(|| format!("{}{rest}", prefix.public))
    })
}

/// The destination of a request.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Target<'a> {
    pub(crate) upstream: Upstream,
    /// The path that the service uses.
    pub(crate) path: Cow<'a, str>,
    /// The route name in metrics.
    pub(crate) name: &'static str,
}

/// Finds the service for a path, which must not be decoded yet.
///
/// # Errors
/// [`Kind::Validation`] for an ambiguous path; [`Kind::NotFound`] for a path that no service has.
pub(crate) fn find(path: &str) -> Result<Target<'_>> {
    check(path)?;
    if let Some(name) = onboarding_root(path) {
        return Ok(Target { upstream: Upstream::Onboarding, path: Cow::Borrowed(path), name });
    }
    let under = |prefix: &'static Prefix| {
        let rest = path.strip_prefix(prefix.public)?;
        (rest.is_empty() || rest.starts_with('/')).then_some((prefix, rest))
    };
    let (prefix, rest) = TABLE
        .iter()
        .filter_map(under)
        .max_by_key(|(prefix, _)| prefix.public.len())
        .ok_or_else(|| Error::new(Kind::NotFound, format!("'{}' does not exist.", masked_path(path))))?;
    let path = if prefix.public == prefix.internal {
        path.into()
    } else {
        format!("{}{rest}", prefix.internal).into()
    };
    Ok(Target { upstream: prefix.upstream, path, name: prefix.public })
}

/// Returns the route name of a path at the root that belongs to onboarding. The contract lists these paths in addition.
fn onboarding_root(path: &str) -> Option<&'static str> {
    match path {
        "/" => Some("/"),
        "/admin/sessions" => Some("/admin/sessions"),
        // Only the hyphenated form of a UUID matches, so that no other path at the root is mistaken for an onboarding.
        _ => {
            let id = path.strip_prefix('/').filter(|id| id.len() == 36)?;
            Uuid::try_parse(id).ok().map(|_| "/{onboardingId}")
        }
    }
}

/// Rejects every path that decoding or normalization, here or in a service, could change to a different one.
fn check(path: &str) -> Result<()> {
    let reject = |why: &'static str| Err(Error::invalid("path", why));
    let Some(inner) = path.strip_prefix('/') else { return reject("must begin with a slash") };
    // A path with a trailing slash is a different path, which no service has.
    let inner = inner.strip_suffix('/').unwrap_or(inner);
    if path.len() > 1 && inner.split('/').any(str::is_empty) {
        return reject("must not have empty segments");
    }
    for segment in inner.split('/') {
        let well_formed = segment.split('%').skip(1).all(|escape| {
            escape
                .as_bytes()
                .first_chunk::<2>()
                .is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit))
        });
        let Some(decoded) = well_formed.then(|| percent_decode_str(segment).decode_utf8().ok()).flatten()
        else {
            return reject("must be UTF-8 with complete percent escapes");
        };
        if matches!(&*decoded, "." | "..") {
            return reject("must not have dot segments");
        }
        if decoded.contains(|c: char| matches!(c, '/' | '\\') || c.is_control()) {
            return reject("must not contain an encoded slash, a backslash or a control character");
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(path: &str) -> Option<(Upstream, String)> {
        find(path).ok().map(|target| (target.upstream, target.path.into_owned()))
    }

    #[test]
    fn every_prefix_matches_only_whole_segments() {
        for prefix in TABLE {
            assert_eq!(at(prefix.public), Some((prefix.upstream, prefix.internal.to_owned())));
            let under = format!("{}/a/b%20c", prefix.public);
            assert_eq!(at(&under), Some((prefix.upstream, format!("{}/a/b%20c", prefix.internal))));
            assert_eq!(at(&format!("{}x", prefix.public)), None, "{} is not a segment", prefix.public);
            assert_eq!(at(&format!("/x{}", prefix.public)), None);
        }
    }

    #[test]
    fn prefixes_are_unique() {
        for (n, prefix) in TABLE.iter().enumerate() {
            assert!(TABLE.iter().skip(n + 1).all(|other| other.public != prefix.public), "{}", prefix.public);
        }
    }

    #[test]
    fn provisioning_has_a_different_public_prefix() {
        let jobs = at("/api/v1/provisioning/jobs/7");
        assert_eq!(jobs, Some((Upstream::Provisioning, "/api/v1/provision/jobs/7".to_owned())));
        assert_eq!(at("/api/v1/provision/jobs/7"), None, "clients cannot use the internal prefix");
    }

    #[test]
    fn onboarding_ids_are_routed_at_the_root() {
        let id = Uuid::now_v7();
        for path in ["/".to_owned(), "/admin/sessions".to_owned(), format!("/{id}")] {
            assert_eq!(at(&path), Some((Upstream::Onboarding, path)));
        }
        let others = [
            "/admin".to_owned(),
            "/admin/sessions/x".to_owned(),
            "/not-a-uuid".to_owned(),
            format!("/{}", id.simple()),
            format!("/{{{id}}}"),
            format!("/{id}/"),
            format!("/{id}/x"),
            format!("/x/{id}"),
            "/api/v1".to_owned(),
        ];
        for path in others {
            assert_eq!(find(&path).unwrap_err().kind(), Kind::NotFound, "{path}");
        }
    }

    #[test]
    fn public_path_is_the_inverse_of_routing() {
        let id = Uuid::now_v7().to_string();
        for (upstream, path) in [
            (Upstream::Registry, "/api/v1/lookup"),
            (Upstream::StackRegistry, "/api/v1/stacks/{name}"),
            (Upstream::Onboarding, "/"),
            (Upstream::Onboarding, "/admin/sessions"),
            (Upstream::Onboarding, "/{onboardingId}"),
            (Upstream::Provisioning, "/api/v1/provision/jobs/{jobId}/retry"),
        ] {
            let filled = |path: &str| path.replace("{onboardingId}", &id).replace(['{', '}'], "");
            let public = public_path(upstream, path).unwrap();
            assert_eq!(at(&filled(&public)), Some((upstream, filled(path))), "{path}");
        }
        assert_eq!(public_path(Upstream::Registry, "/api/v1/stacks"), None, "it belongs to another service");
        assert_eq!(public_path(Upstream::Registry, "/api/v1/lookups"), None);
        assert_eq!(public_path(Upstream::Registry, "/"), None);
    }

    #[test]
    fn ambiguous_paths_are_rejected() {
        let ambiguous = [
            "",
            "*",
            "api/v1/stacks",
            "//",
            "//api/v1/stacks",
            "/api//v1/stacks",
            "/api/v1/stacks//",
            "/api/v1/stacks/../platforms",
            "/api/v1/stacks/..",
            "/api/v1/stacks/.",
            "/./api/v1/stacks",
            "/api/v1/stacks/%2e%2e/platforms",
            "/api/v1/stacks/.%2E/platforms",
            "/api/v1/stacks/%2e",
            "/api/v1/stacks%2f..%2fplatforms",
            "/api/v1%2Fstacks",
            "/api/v1/stacks/a%2fb",
            "/api/v1/stacks/a%5cb",
            "/api/v1/stacks/a\\..\\b",
            "/api/v1/stacks/%00",
            "/api/v1/stacks/%0d%0a",
            "/api/v1/stacks/%7f",
            "/api/v1/stacks/%zz",
            "/api/v1/stacks/%2",
            "/api/v1/stacks/%",
            "/api/v1/stacks/%ff",
        ];
        for path in ambiguous {
            assert_eq!(find(path).unwrap_err().kind(), Kind::Validation, "{path}");
        }
    }

    #[test]
    fn unusual_but_unambiguous_paths_are_forwarded_unchanged() {
        for path in [
            "/api/v1/stacks/...",
            "/api/v1/stacks/a.b",
            "/api/v1/stacks/%252e%252e",
            "/api/v1/stacks/%C3%BC",
            "/api/v1/stacks/",
        ] {
            assert_eq!(at(path), Some((Upstream::StackRegistry, path.to_owned())));
        }
    }
}
