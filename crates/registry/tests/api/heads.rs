//! `HEAD` and `OPTIONS`.

use domain::{Grant, GrantScope, PlatformId, Role};
use identity::{ActorType, Caller};
use reqwest::{Method, Response, header::HeaderMap};

use crate::world::World;

async fn send(world: &World, caller: &Caller, method: Method, path: &str, tag: &str) -> Response {
    let mut request = world.request_as(caller, method, path);
    if !tag.is_empty() {
        request = request.header("If-None-Match", tag);
    }
    request.send().await.unwrap()
}

fn relevant_headers(headers: &HeaderMap) -> Vec<Option<&str>> {
    ["content-length", "content-type", "etag", "cache-control", "allow"]
        .map(|name| headers.get(name).map(|value| value.to_str().unwrap()))
        .to_vec()
}

#[tokio::test]
async fn head_returns_the_headers_of_get_to_the_same_callers() {
    let world = World::start().await;
    let (own, other) = (world.platform("own").await, world.platform("other").await);
    let entity = world.tenant(&own, "acme").await;
    let grant = Grant::new(Role::Viewer, GrantScope::Platform(PlatformId::parse(&own).unwrap())).unwrap();
    let viewer = Caller::authenticated("apikey:viewer".to_owned(), ActorType::Apikey, vec![grant]);
    for (path, status) in [
        (format!("/api/v1/platforms/{own}"), 200),
        (format!("/api/v1/platforms/{own}/entities"), 200),
        (format!("/api/v1/platforms/{own}/entities/{entity}/manifest"), 200),
        (format!("/api/v1/platforms/{other}"), 404),
        (format!("/api/v1/platforms/{own}/suspend"), 405),
        ("/health".to_owned(), 200),
    ] {
        for (caller, tag) in [(&viewer, ""), (&viewer, "*"), (&Caller::operator(), "")] {
            let head = send(&world, caller, Method::HEAD, &path, tag).await;
            let get = send(&world, caller, Method::GET, &path, tag).await;
            assert_eq!(head.status(), get.status(), "{path}");
            // The body of a 405 response names the method.
            if status != 405 {
                assert_eq!(relevant_headers(head.headers()), relevant_headers(get.headers()), "{path}");
            }
            assert_eq!(head.bytes().await.unwrap(), "", "{path}");
        }
        assert_eq!(send(&world, &viewer, Method::HEAD, &path, "").await.status(), status, "{path}");
    }
}

#[tokio::test]
async fn if_none_match_star_matches_existing_objects_only() {
    let world = World::start().await;
    let own = world.platform("own").await;
    let entity = world.tenant(&own, "acme").await;
    for path in
        [format!("/api/v1/platforms/{own}"), format!("/api/v1/platforms/{own}/entities/{entity}/manifest")]
    {
        for tag in ["*", " * "] {
            let answer = send(&world, &Caller::operator(), Method::GET, &path, tag).await;
            assert!(answer.headers().contains_key("etag"), "{path}");
            assert_eq!(answer.status(), 304, "{path}");
        }
    }
    let unknown = format!("/api/v1/platforms/{}", PlatformId::random());
    assert_eq!(send(&world, &Caller::operator(), Method::GET, &unknown, "*").await.status(), 404);
}

#[tokio::test]
async fn options_lists_the_methods_of_a_path() {
    let world = World::start().await;
    for (path, allow) in [
        ("/api/v1/platforms", "GET, HEAD, OPTIONS, POST"),
        ("/api/v1/platforms/k3m9p2xw7q/suspend", "OPTIONS, POST"),
    ] {
        let answer = send(&world, &Caller::operator(), Method::OPTIONS, path, "").await;
        assert_eq!((answer.status().as_u16(), &answer.headers()["allow"]), (204, &allow.parse().unwrap()));
    }
    assert_eq!(send(&world, &Caller::operator(), Method::OPTIONS, "/none", "").await.status(), 404);
}
