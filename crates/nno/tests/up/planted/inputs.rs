//! Every input of the system whose text is not stored on purpose. Fields that are stored and returned by design, such as
//! names, reasons and URLs, are excluded.

use base64::{Engine, engine::general_purpose::STANDARD};
use reqwest::{Client, Method, RequestBuilder, Url};
use serde_json::{Value, json};

use super::secret::Secret;

/// The system under test and the ids of its objects.
pub(crate) struct Target {
    pub(crate) client: Client,
    pub(crate) url: String,
    pub(crate) key: String,
    /// The id of a platform whose slug is `acme`.
    pub(crate) platform: String,
    pub(crate) resource: String,
}

/// A request with a secret.
pub(crate) struct Input {
    pub(crate) request: RequestBuilder,
    /// True if the response may contain the secret.
    pub(crate) is_echo: bool,
}

const API: &str = "/api/v1";

impl Target {
    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.client.request(method, format!("{}{path}", self.url))
    }

    fn authorized(&self, method: Method, path: &str) -> RequestBuilder {
        self.request(method, path).bearer_auth(&self.key)
    }

    /// A request with a path that ends in the secret.
    fn with_last_segment(&self, method: Method, path: &str, secret: &str) -> RequestBuilder {
        let mut url = Url::parse(&self.url).unwrap();
        url.path_segments_mut().unwrap().extend(path.split('/').skip(1)).push(secret);
        self.client.request(method, url).bearer_auth(&self.key)
    }

    fn with_query(&self, path: &str, name: &str, value: &str) -> RequestBuilder {
        let mut url = Url::parse(&format!("{}{API}{path}", self.url)).unwrap();
        url.query_pairs_mut().append_pair(name, value);
        self.client.request(Method::GET, url).bearer_auth(&self.key)
    }

    fn post(&self, path: &str, body: &Value) -> RequestBuilder {
        self.authorized(Method::POST, &format!("{API}{path}")).json(body)
    }

    fn patch(&self, path: &str, body: &Value) -> RequestBuilder {
        self.authorized(Method::PATCH, &format!("{API}{path}")).json(body)
    }

    /// Returns every input with this secret.
    pub(crate) fn inputs(&self, secret: &Secret) -> Vec<Input> {
        let s = secret.text.as_str();
        let mut requests = self.credentials(s);
        requests.extend(self.headers(secret));
        requests.extend(self.queries(s));
        requests.extend(self.paths(secret));
        requests.extend(self.bodies(s));
        let mut inputs: Vec<Input> =
            requests.into_iter().map(|request| Input { request, is_echo: false }).collect();
        // A dry run returns the object as if it had been created.
        let body = json!({ "name": s, "slug": "dry-run" });
        let request = self.post("/platforms?dryRun=true", &body);
        inputs.push(Input { request, is_echo: true });
        inputs
    }

    fn credentials(&self, s: &str) -> Vec<RequestBuilder> {
        let path = format!("{API}/platforms");
        let plain = || self.request(Method::GET, &path);
        vec![
            plain().bearer_auth(s),
            plain().header("Authorization", s),
            plain().header("Authorization", format!("Basic {}", STANDARD.encode(format!("nno:{s}")))),
            plain().header("Authorization", format!("Token {s}")),
            plain().header("Authorization", format!("Bearer {}, Bearer {s}", self.key)),
            plain().bearer_auth(&self.key).header("Authorization", format!("Bearer {s}")),
            plain().header("X-Api-Key", s).header("Cookie", format!("session={s}")),
            // The body of an unauthorized request is not read.
            self.request(Method::POST, &path).json(&json!({ "name": s, "slug": s, "password": s })),
            self.request(Method::POST, "/").bearer_auth(s).json(&json!({ "platformName": s })),
        ]
    }

    fn headers(&self, secret: &Secret) -> Vec<RequestBuilder> {
        let s = secret.text.as_str();
        let list = format!("{API}/platforms");
        let one = format!("{API}/platforms/{}", self.platform);
        let mut many = self.authorized(Method::GET, &one);
        for name in [
            "Cookie",
            "X-Api-Key",
            "X-Auth-Token",
            "X-Amz-Security-Token",
            "Proxy-Authorization",
            "User-Agent",
            "Referer",
            "Origin",
            "Accept",
            "Accept-Language",
            "From",
            "X-Forwarded-For",
            "X-Forwarded-User",
            "Forwarded",
            "Via",
            "X-Http-Method-Override",
            "tracestate",
            "baggage",
            "Last-Event-ID",
            "X-Planted",
        ] {
            many = many.header(name, s);
        }
        let name = json!({ "name": "Acme" });
        let mut requests = vec![
            many,
            self.authorized(Method::GET, &list).header("traceparent", s),
            self.authorized(Method::GET, &list).header("traceparent", format!("00-{s}-b7ad6b7169203331-01")),
            self.authorized(Method::GET, &one).header("If-None-Match", format!("\"{s}\"")),
            self.authorized(Method::PATCH, &one).json(&name).header("If-Match", format!("\"{s}\"")),
            self.authorized(Method::PATCH, &one).json(&name).header("Idempotency-Key", s),
            // A repeat of the request, then a different request with the same key.
            self.authorized(Method::PATCH, &one).json(&name).header("Idempotency-Key", s),
            self.authorized(Method::PATCH, &one)
                .json(&json!({ "name": "Acme Inc." }))
                .header("Idempotency-Key", s),
            self.authorized(Method::POST, &list).body("{}").header("Content-Type", s),
            self.authorized(Method::GET, &list).header(format!("x-{}", secret.random), "1"),
        ];
        if secret.is_credential {
            requests.push(self.authorized(Method::GET, &list).header("X-Request-Id", s));
        }
        requests
    }

    fn queries(&self, s: &str) -> Vec<RequestBuilder> {
        let of_platform = |rest: &str| format!("/platforms/{}{rest}", self.platform);
        let mut requests = vec![self.with_query("/platforms", s, "1")];
        for (path, name) in [
            ("/platforms", "key"),
            ("/platforms", "access_token"),
            ("/platforms", "password"),
            ("/platforms", "limit"),
            ("/platforms", "cursor"),
            ("/lookup", "cfName"),
            ("/audit", "platformId"),
            ("/audit", "actorId"),
            ("/audit", "from"),
            ("/audit", "cursor"),
            ("/iam/keys", "platformId"),
            ("/iam/keys", "includeRevoked"),
            ("/iam/bindings", "subject"),
            ("/stacks", "search"),
            ("/stacks", "label"),
            ("/provisioning/jobs", "status"),
            ("/onboarding/admin/sessions", "status"),
        ] {
            requests.push(self.with_query(path, name, s));
        }
        requests.push(self.with_query(&of_platform("/entities"), "type", s));
        requests.push(self.with_query(&of_platform("/builds/latest"), "env", s));
        requests.push(self.with_query(&of_platform("/stacks"), "tenantId", s));
        requests.push(self.with_query(&of_platform(""), "includeDeleted", s));
        requests
    }

    fn paths(&self, secret: &Secret) -> Vec<RequestBuilder> {
        let s = secret.text.as_str();
        let of_platform = |rest: &str| format!("{API}/platforms/{}{rest}", self.platform);
        let mut requests: Vec<RequestBuilder> = [
            format!("{API}/platforms"),
            format!("{API}/stacks"),
            format!("{API}/stacks/shop"),
            format!("{API}/provisioning/jobs"),
            format!("{API}/onboarding"),
            String::new(),
            "/nowhere".to_owned(),
            of_platform(""),
            of_platform("/entities"),
            of_platform("/dns"),
            of_platform("/resources"),
        ]
        .iter()
        .map(|path| self.with_last_segment(Method::GET, path, s))
        .collect();
        // A key in the place of its id.
        requests.push(self.with_last_segment(Method::DELETE, &format!("{API}/iam/keys"), s));
        requests.push(self.with_last_segment(Method::DELETE, &format!("{API}/iam/bindings"), s));
        requests.push(self.with_last_segment(Method::PUT, &format!("{API}/platforms"), s));
        requests.push(self.request(Method::GET, &format!("{API}//platforms/{}", secret.random)));
        let unknown = of_platform(&format!("/resources/{}/secrets", uuid::Uuid::nil()));
        requests.push(self.with_last_segment(Method::POST, &unknown, s).json(&json!({ "status": "set" })));
        let method = Method::from_bytes(secret.random.as_bytes()).unwrap();
        requests.push(self.authorized(method, &format!("{API}/platforms")));
        requests
    }

    fn bodies(&self, s: &str) -> Vec<RequestBuilder> {
        // A prefix makes every secret an invalid slug and host name: some secrets alone are valid.
        let invalid = format!("= {s}");
        let of_platform = |rest: &str| format!("/platforms/{}{rest}", self.platform);
        let list = format!("{API}/platforms");
        let raw = |body: String| {
            self.authorized(Method::POST, &list).header("Content-Type", "application/json").body(body)
        };
        let named = |field: &str, value: Value| {
            let mut body = json!({ "name": "N", "slug": "n" });
            body[field] = value;
            self.post("/platforms", &body)
        };
        let record = json!({ "hostname": invalid, "targetType": "worker", "resourceId": self.resource, "environment": "prod" });
        let url = format!("https://nno:{s}@a.invalid/").replace(' ', "%20");
        let definition = json!({
            "schemaVersion": 1, "displayName": "Shop", "token": s,
            "features": [{ "id": s, "version": s, "package": "@shop/cart", "required": true, "permissions": [s] }],
            "resources": { "d1": false, "r2": false, "kv": s, "queue": false },
            "inputs": { "type": s, "$ref": format!("https://a.invalid/{s}") },
        });
        vec![
            raw(s.to_owned()),
            raw(format!("{{\"name\":\"{s}\",")),
            raw(format!("[\"{s}\"]")),
            named("password", json!(s)),
            named(s, json!(1)),
            named("slug", json!(invalid)),
            named("tier", json!(s)),
            named("name", json!([s])),
            named("name", json!({ "secret": s })),
            named("name", json!(format!("{s}\u{0}"))),
            // Valid except for its duplicate slug, so the values reach the database.
            self.post("/platforms", &json!({ "name": s, "slug": "acme", "repoName": s })),
            self.patch(&of_platform(""), &json!({ "status": s })),
            self.patch("/platforms/aaaaaaaaaa", &json!({ "name": s })),
            self.post(&of_platform("/suspend"), &json!({ "reason": [s] })),
            self.post(
                &of_platform("/entities"),
                &json!({ "name": "E", "slug": "e", "type": s, "parentId": s }),
            ),
            self.post(&of_platform("/stacks/default/dns"), &record),
            self.post(&of_platform("/stacks"), &json!({ "tenantId": s, "name": "S", "inputs": s })),
            self.post(
                &of_platform("/stacks"),
                &json!({ "tenantId": "aaaaaaaaaa", "name": "S", "templateId": s }),
            ),
            self.patch(&of_platform(&format!("/resources/{}", self.resource)), &json!({ "cfUrl": url })),
            self.patch(
                &of_platform(&format!("/resources/{}", self.resource)),
                &json!({ "status": s, "config": s }),
            ),
            self.post(
                &of_platform(&format!("/resources/{}/secrets/A", self.resource)),
                &json!({ "status": "set", "value": s }),
            ),
            self.post(
                &of_platform(&format!("/resources/{}/secrets/A", self.resource)),
                &json!({ "status": s }),
            ),
            self.post("/stacks", &json!({ "name": invalid, "displayName": "T", "description": "T" })),
            self.post(
                "/stacks/shop/versions",
                &json!({ "version": s, "nnoSdkVersion": s, "stackDefinition": definition }),
            ),
            self.post(
                "/stacks/shop/versions",
                &json!({ "version": "9.0.0", "nnoSdkVersion": "1.0.0", "stackDefinition": definition }),
            ),
            self.post("/onboarding", &json!({ "platformName": "P", "slug": s, "tier": s })),
            self.patch("/onboarding/00000000-0000-0000-0000-000000000000", &json!({ "metadata": s })),
            self.post(
                "/provisioning/platform",
                &json!({ "platformId": s, "planTier": s, "billingEmail": [s] }),
            ),
            self.post("/iam/keys", &json!({ "name": "K", "role": s, "platformId": s })),
            self.post("/iam/keys", &json!({ "name": "K", "role": "viewer", "key": s })),
            self.post("/iam/bindings", &json!({ "subject": [s], "role": s })),
            self.post("/iam/can", &json!({ "checks": [{ "action": s, "platformId": s }] })),
        ]
    }
}
