//! Requests without a valid token.

use futures_util::{StreamExt, stream};
use identity::Caller;
use reqwest::StatusCode;
use service::Service;

use super::{CONCURRENT_REQUESTS, Case, Scenario, count_writes, send};
use crate::Response;

/// Sends every case without a token, with every kind of invalid token, and with the tokens of other processes.
///
/// # Panics
/// If the service accepts one of them or writes anything.
pub async fn assert_invalid_tokens_rejected<S: Scenario>(scenario: &S) {
    let service = scenario.service();
    let before = count_writes(&service.db).await;
    let mut tokens = vec![("no token", None)];
    let invalid = service.keys.invalid_tokens(S::Service::NAME).into_iter();
    tokens.extend(invalid.map(|(name, token)| (name, Some(token))));
    let (cases, tokens) = (&scenario.cases(), &tokens);
    let requests = cases.iter().flat_map(|case| {
        tokens.iter().map(move |(name, token)| async move {
            let answer = send_with_token(scenario, case, token.as_deref()).await;
            let Case { method, path, .. } = case;
            assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{name}: {method} {path}: {}", answer.text);
            answer.expect_error(401, "UNAUTHORIZED");
        })
    });
    stream::iter(requests).buffer_unordered(CONCURRENT_REQUESTS).collect::<()>().await;
    for process in crate::PROCESSES.into_iter().filter(|process| *process != "gateway") {
        let signer = service.keys.signer(process);
        let token = signer.sign(S::Service::NAME, &Caller::this_service(process)).expect("sign");
        for case in cases {
            let answer = send_with_token(scenario, case, Some(&token)).await;
            answer.expect_error(403, "FORBIDDEN");
        }
    }
    assert_eq!(count_writes(&service.db).await, before, "a rejected request wrote to the database");
}

async fn send_with_token<S: Scenario>(scenario: &S, case: &Case, token: Option<&str>) -> Response {
    let begin = |method, path: &str| {
        let request = scenario.service().anonymous(method, path);
        token.into_iter().fold(request, |request, token| request.bearer_auth(token))
    };
    send(scenario, case, begin).await
}
