//! Compression of responses, as far as the client accepts it.

use std::io::Read;

use actix_web::{HttpResponse, web};
use flate2::read::GzDecoder;
use reqwest::{Method, Response};
use rstest::rstest;
use serde_json::{Value, json};

use crate::world::{World, serve};

const PLATFORMS: &str = "/api/v1/platforms";

/// A list of platforms of about `bytes` bytes.
fn list(bytes: usize) -> Value {
    json!({ "data": vec!["0123456789"; bytes / 13] })
}

/// A gateway in front of a service that responds to everything with a body of `bytes` bytes of a type.
fn world(kind: &'static str, bytes: usize) -> World {
    let service = serve(move |config| {
        config.default_service(web::to(move || async move {
            HttpResponse::Ok()
                .insert_header(("ETag", "\"1\""))
                .content_type(kind)
                .body(list(bytes).to_string())
        }));
    });
    World::with_service(service, json!({}))
}

async fn get(world: &World, path: &str, accepted: Option<&str>) -> Response {
    let mut request = world.request(Method::GET, path);
    if let Some(accepted) = accepted {
        request = request.header("accept-encoding", accepted);
    }
    request.send().await.unwrap()
}

fn header<'a>(response: &'a Response, name: &str) -> Vec<&'a str> {
    response.headers().get_all(name).iter().map(|value| value.to_str().unwrap()).collect()
}

#[rstest]
#[case(Some("gzip"), Some("gzip"))]
#[case(Some("zstd"), Some("zstd"))]
#[case(Some("gzip, deflate, br, zstd"), Some("zstd"))]
#[case(Some("gzip;q=1.0, zstd;q=0.5"), Some("gzip"))]
#[case(Some("deflate, br"), None)]
#[case(Some("identity"), None)]
#[case(Some("gzip;q=0"), None)]
#[case(Some("nonsense;;q="), None)]
#[case(None, None)]
#[tokio::test]
async fn a_large_response_has_the_best_encoding_that_the_client_accepts(
    #[case] accepted: Option<&str>,
    #[case] encoding: Option<&str>,
) {
    let world = world("application/json", 100_000);
    let response = get(&world, PLATFORMS, accepted).await;
    assert_eq!(response.status(), 200);
    assert_eq!(header(&response, "content-encoding"), encoding.into_iter().collect::<Vec<_>>());
    assert_eq!(header(&response, "etag"), ["\"1\""]);
    assert!(header(&response, "vary").iter().any(|value| value.eq_ignore_ascii_case("accept-encoding")));
    let body = response.bytes().await.unwrap();
    let plain = match encoding {
        Some("gzip") => {
            let mut plain = Vec::new();
            GzDecoder::new(&*body).read_to_end(&mut plain).unwrap();
            plain
        }
        Some("zstd") => zstd::decode_all(&*body).unwrap(),
        _ => body.to_vec(),
    };
    assert_eq!(serde_json::from_slice::<Value>(&plain).unwrap(), list(100_000));
    assert_eq!(body.len() < 10_000, encoding.is_some(), "{} bytes", body.len());
}

#[rstest]
#[case("application/json", 500)]
#[case("text/event-stream", 100_000)]
#[case("application/octet-stream", 100_000)]
#[tokio::test]
async fn small_responses_and_other_types_are_not_compressed(
    #[case] kind: &'static str,
    #[case] bytes: usize,
) {
    let world = world(kind, bytes);
    let response = get(&world, PLATFORMS, Some("gzip, zstd")).await;
    assert_eq!(header(&response, "content-encoding"), Vec::<&str>::new());
    assert_eq!(response.json::<Value>().await.unwrap(), list(bytes));
}

#[tokio::test]
async fn the_document_is_small_on_the_wire() {
    let world = World::new(json!({}));
    let plain = get(&world, "/openapi.json", None).await;
    assert_eq!(header(&plain, "content-encoding"), Vec::<&str>::new());
    let document: Value = plain.json().await.unwrap();
    let packed = get(&world, "/openapi.json", Some("gzip, zstd")).await;
    assert_eq!(header(&packed, "content-encoding"), ["gzip"]);
    let body = packed.bytes().await.unwrap();
    assert!(body.len() < 40_000, "{} bytes", body.len());
    assert_eq!(serde_json::from_reader::<_, Value>(GzDecoder::new(&*body)).unwrap(), document);
}

#[tokio::test]
async fn a_client_that_does_not_accept_gzip_can_read_the_page() {
    let world = World::new(json!({}));
    for path in ["/docs", "/docs/swagger-ui-bundle.js", "/docs/swagger-ui.css"] {
        let response = get(&world, path, None).await;
        assert_eq!(header(&response, "content-encoding"), Vec::<&str>::new(), "{path}");
        assert!(
            response.text().await.is_ok_and(|text| text.is_ascii() || text.contains("swagger")),
            "{path}"
        );
    }
}
