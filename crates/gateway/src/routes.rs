//! Which service answers which path: one table, and the rules by which it is read.

use std::borrow::Cow;

use domain::{Error, Kind, Result, masked::masked_path};
use percent_encoding::percent_decode_str;
use stack_definition::{DEFINITION_SCHEMA_PATH, MANIFEST_SCHEMA_PATH};
use uuid::Uuid;

use crate::upstream::Upstream;

/// What the gateway answers itself.
pub(crate) const OWN: [&str; 6] =
    ["/health", "/ready", "/openapi.json", "/docs", DEFINITION_SCHEMA_PATH, MANIFEST_SCHEMA_PATH];

/// A path and all under it.
struct Prefix {
    /// What the client asks for.
    at: &'static str,
    upstream: Upstream,
    /// What the service calls it.
    there: &'static str,
}

/// The table. The longest prefix that ends where a segment ends wins.
const TABLE: &[Prefix] = &[
    same("/api/v1/platforms", Upstream::Registry),
    same("/api/v1/resources", Upstream::Registry),
    same("/api/v1/lookup", Upstream::Registry),
    same("/api/v1/audit", Upstream::Registry),
    same("/api/v1/domains", Upstream::Registry),
    same("/api/v1/stacks", Upstream::StackRegistry),
    same("/api/v1/onboarding", Upstream::Onboarding),
    same("/api/v1/iam", Upstream::Iam),
    Prefix { at: "/api/v1/provisioning", upstream: Upstream::Provisioning, there: "/api/v1/provision" },
];

const fn same(at: &'static str, upstream: Upstream) -> Prefix {
    Prefix { at, upstream, there: at }
}

/// What clients call a path of a service, as documents write paths; none if they cannot call it.
pub(crate) fn public(upstream: Upstream, path: &str) -> Option<String> {
    const ROOTS: [&str; 3] = ["/", "/admin/sessions", "/{onboardingId}"];
    if upstream == Upstream::Onboarding && ROOTS.contains(&path) {
        return Some(path.to_owned());
    }
    TABLE.iter().filter(|prefix| prefix.upstream == upstream).find_map(|prefix| {
        let rest = path.strip_prefix(prefix.there)?;
        (rest.is_empty() || rest.starts_with('/')).then(|| format!("{}{rest}", prefix.at))
    })
}

/// Where a request goes.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Target<'a> {
    pub(crate) upstream: Upstream,
    /// The path at the service.
    pub(crate) path: Cow<'a, str>,
    /// What metrics call the route.
    pub(crate) name: &'static str,
}

/// Finds the service for a path as it came over the wire.
///
/// # Errors
/// [`Kind::Validation`] for a path that two readers could read as two paths; [`Kind::NotFound`] for one that no
/// service has.
pub(crate) fn find(path: &str) -> Result<Target<'_>> {
    check(path)?;
    if let Some(name) = onboarding_root(path) {
        return Ok(Target { upstream: Upstream::Onboarding, path: Cow::Borrowed(path), name });
    }
    let under = |prefix: &'static Prefix| {
        let rest = path.strip_prefix(prefix.at)?;
        (rest.is_empty() || rest.starts_with('/')).then_some((prefix, rest))
    };
    let (prefix, rest) =
        TABLE.iter().filter_map(under).max_by_key(|(prefix, _)| prefix.at.len()).ok_or_else(|| {
            Error::new(Kind::NotFound, format!("There is nothing at '{}'", masked_path(path)))
        })?;
    let path = if prefix.at == prefix.there { path.into() } else { format!("{}{rest}", prefix.there).into() };
    Ok(Target { upstream: prefix.upstream, path, name: prefix.at })
}

/// Onboarding also answers at its own root: the contract lists both.
fn onboarding_root(path: &str) -> Option<&'static str> {
    match path {
        "/" => Some("/"),
        "/admin/sessions" => Some("/admin/sessions"),
        // The hyphenated form alone, so that nothing else at the root is ever taken for a session.
        _ => {
            let id = path.strip_prefix('/').filter(|id| id.len() == 36)?;
            Uuid::try_parse(id).ok().map(|_| "/{onboardingId}")
        }
    }
}

/// Refuses every path that decoding or tidying, here or behind, could turn into another one.
fn check(path: &str) -> Result<()> {
    let refuse = |why: &'static str| Err(Error::invalid("path", why));
    let Some(inner) = path.strip_prefix('/') else { return refuse("must begin with a slash") };
    // One slash at the end is a path of its own, which no service has.
    let inner = inner.strip_suffix('/').unwrap_or(inner);
    if path.len() > 1 && inner.split('/').any(str::is_empty) {
        return refuse("must not have empty segments");
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
            return refuse("must be UTF-8 with whole percent escapes");
        };
        if matches!(&*decoded, "." | "..") {
            return refuse("must not have dot segments");
        }
        if decoded.contains(|c: char| matches!(c, '/' | '\\') || c.is_control()) {
            return refuse("must not hold an encoded slash, a backslash or a control character");
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
    fn every_prefix_takes_itself_and_what_is_under_it_alone() {
        for prefix in TABLE {
            assert_eq!(at(prefix.at), Some((prefix.upstream, prefix.there.to_owned())));
            let under = format!("{}/a/b%20c", prefix.at);
            assert_eq!(at(&under), Some((prefix.upstream, format!("{}/a/b%20c", prefix.there))));
            assert_eq!(at(&format!("{}x", prefix.at)), None, "{} is no prefix of a longer word", prefix.at);
            assert_eq!(at(&format!("/x{}", prefix.at)), None);
        }
    }

    #[test]
    fn no_prefix_is_in_the_table_twice() {
        for (n, prefix) in TABLE.iter().enumerate() {
            assert!(TABLE.iter().skip(n + 1).all(|other| other.at != prefix.at), "{}", prefix.at);
        }
    }

    #[test]
    fn provisioning_is_renamed() {
        let jobs = at("/api/v1/provisioning/jobs/7");
        assert_eq!(jobs, Some((Upstream::Provisioning, "/api/v1/provision/jobs/7".to_owned())));
        assert_eq!(at("/api/v1/provision/jobs/7"), None, "its own name is not known here");
    }

    #[test]
    fn the_root_is_onboardings_for_what_can_be_a_session() {
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
    fn what_clients_call_a_path_leads_back_to_it() {
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
            let public = public(upstream, path).unwrap();
            assert_eq!(at(&filled(&public)), Some((upstream, filled(path))), "{path}");
        }
        assert_eq!(public(Upstream::Registry, "/api/v1/stacks"), None, "another service's");
        assert_eq!(public(Upstream::Registry, "/api/v1/lookups"), None);
        assert_eq!(public(Upstream::Registry, "/"), None);
    }

    #[test]
    fn paths_with_two_readings_are_refused() {
        let tricks = [
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
        for path in tricks {
            assert_eq!(find(path).unwrap_err().kind(), Kind::Validation, "{path}");
        }
    }

    #[test]
    fn what_only_looks_odd_is_passed_on_as_it_came() {
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
