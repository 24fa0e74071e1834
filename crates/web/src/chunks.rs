//! Streaming of lists that have no pages.
//!
//! A list of ten thousand rows is read a few hundred rows at a time. Between two reads, the request holds no database
//! connection and the worker thread serves other requests. The whole list is never in memory.

use actix_web::{HttpResponse, web::Bytes};
use domain::{Error, Result};
use futures_util::stream;
use serde::Serialize;

use super::HttpResult;

/// Some rows of a list, and the position of the next chunk if there may be more.
#[derive(Debug)]
pub struct Chunk<T, P> {
    pub rows: Vec<T>,
    pub next: Option<P>,
}

/// Responds with `{"data": [...]}` and all chunks that `read` returns, from `start` on. A list of one chunk is sent as
/// a whole. If a later chunk of a longer list cannot be read, the connection is closed.
///
/// # Errors
/// Those of `read` for the first chunk.
pub async fn respond<T, P, R>(start: P, read: R) -> HttpResult
where
    T: Serialize + 'static,
    P: 'static,
    R: AsyncFn(P) -> Result<Chunk<T, P>> + 'static,
{
    let first = read(start).await?;
    let mut body = b"{\"data\":".to_vec();
    serde_json::to_writer(&mut body, &first.rows).map_err(Error::internal)?;
    let mut response = HttpResponse::Ok();
    response.content_type("application/json");
    let Some(next) = first.next else {
        body.push(b'}');
        return Ok(response.body(body));
    };
    // The array continues with the next chunk.
    body.pop();
    let state = Some((Some(next), read));
    let rest = stream::try_unfold(state, |state| async {
        let Some((next, read)) = state else { return Ok::<_, serde_json::Error>(None) };
        let Some(next) = next else { return Ok(Some((Bytes::from_static(b"]}"), None))) };
        match read(next).await {
            Ok(chunk) => Ok(Some((piece(&chunk.rows)?, Some((chunk.next, read))))),
            Err(error) => {
                runtime::error::log(&error);
                Err(serde::ser::Error::custom("cannot read the rest of the list"))
            }
        }
    });
    let first = stream::iter([Ok(Bytes::from(body))]);
    Ok(response.streaming(futures_util::StreamExt::chain(first, rest)))
}

/// Serializes rows that follow others in an array.
fn piece<T: Serialize>(rows: &[T]) -> serde_json::Result<Bytes> {
    let mut piece = Vec::new();
    for row in rows {
        piece.push(b',');
        serde_json::to_writer(&mut piece, row)?;
    }
    Ok(piece.into())
}

#[cfg(test)]
mod tests {
    use actix_web::body::to_bytes;

    use super::*;

    async fn written(rows: u32, chunk_size: u32) -> String {
        let response = respond(0, async move |from: u32| {
            let rows: Vec<u32> = (from..rows.min(from + chunk_size)).collect();
            let next = (u32::try_from(rows.len()).unwrap() == chunk_size).then_some(from + chunk_size);
            Ok(Chunk { rows, next })
        });
        let body = to_bytes(response.await.unwrap().into_body()).await.unwrap();
        String::from_utf8(body.to_vec()).unwrap()
    }

    #[actix_web::test]
    async fn chunks_form_one_list() {
        assert_eq!(written(0, 3).await, r#"{"data":[]}"#);
        assert_eq!(written(2, 3).await, r#"{"data":[0,1]}"#);
        assert_eq!(written(3, 3).await, r#"{"data":[0,1,2]}"#);
        assert_eq!(written(7, 3).await, r#"{"data":[0,1,2,3,4,5,6]}"#);
    }

    #[actix_web::test]
    async fn incomplete_list_ends_with_an_error() {
        let response = respond(0, async move |from: u32| match from {
            0 => Ok(Chunk { rows: vec![0], next: Some(1) }),
            _ => Err(Error::internal("gone")),
        });
        assert!(to_bytes(response.await.unwrap().into_body()).await.is_err());
        let rejected =
            respond(0, async move |_: u32| Err::<Chunk<u32, u32>, _>(Error::not_found("entity", "x")));
        assert!(rejected.await.is_err());
    }
}
