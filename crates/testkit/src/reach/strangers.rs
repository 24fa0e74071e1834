//! Who has no identity, or one that is not good.

use futures_util::{StreamExt, stream};
use identity::Caller;
use reqwest::StatusCode;
use service::Service;

use super::{AT_A_TIME, Case, Stage, send, writes};
use crate::Response;

/// Asks for everything without an identity, with every forged one, and as a service.
///
/// # Panics
/// When any of them is let in, or is told something.
pub async fn let_no_stranger_in<S: Stage>(stage: &S) {
    let service = stage.service();
    let before = writes(&service.db).await;
    let mut tokens = vec![("no identity", None)];
    tokens.extend(service.keys.forged(S::Service::NAME).into_iter().map(|(what, token)| (what, Some(token))));
    let (cases, tokens) = (&stage.cases(), &tokens);
    let refused = cases.iter().flat_map(|case| {
        tokens.iter().map(move |(what, token)| async move {
            let answer = ask(stage, case, token.as_deref()).await;
            let Case { method, path, .. } = case;
            assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{what}: {method} {path}: {}", answer.text);
            answer.expect_error(401, "UNAUTHORIZED");
        })
    });
    stream::iter(refused).buffer_unordered(AT_A_TIME).collect::<()>().await;
    for process in crate::PROCESSES.into_iter().filter(|process| *process != "gateway") {
        let signer = service.keys.signer(process);
        let token = signer.sign(S::Service::NAME, &Caller::this_service(process)).expect("sign");
        for case in cases {
            let answer = ask(stage, case, Some(&token)).await;
            answer.expect_error(403, "FORBIDDEN");
        }
    }
    assert_eq!(writes(&service.db).await, before, "nothing was done");
}

async fn ask<S: Stage>(stage: &S, case: &Case, token: Option<&str>) -> Response {
    let begin = |method, path: &str| {
        let request = stage.service().anonymous(method, path);
        token.into_iter().fold(request, |request, token| request.bearer_auth(token))
    };
    send(stage, case, begin).await
}
