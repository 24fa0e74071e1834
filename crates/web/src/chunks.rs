//! Lists without pages, written as they are read.
//!
//! A list of ten thousand is read a few hundred rows at a time. Between two reads the caller holds no connection and
//! the worker thread serves others, and at no time is the whole list in memory.

use actix_web::{HttpResponse, web::Bytes};
use domain::{Error, Result};
use futures_util::stream;
use serde::Serialize;

use super::HttpResult;

/// Some rows of a list, and where those after them start, if there may be more.
#[derive(Debug)]
pub struct Chunk<T, P> {
    pub rows: Vec<T>,
    pub next: Option<P>,
}

/// Answers `{"data": [...]}` with all chunks that `read` gives, beginning at `start`. A list of one chunk is one piece;
/// of a longer one, the connection is cut if a later chunk cannot be read.
///
/// # Errors
/// Those of `read` for the first chunk.
pub async fn all<T, P, R>(start: P, read: R) -> HttpResult
where
    T: Serialize + 'static,
    P: 'static,
    R: AsyncFn(P) -> Result<Chunk<T, P>> + 'static,
{
    let first = read(start).await?;
    let mut body = b"{\"data\":".to_vec();
    serde_json::to_writer(&mut body, &first.rows).map_err(Error::internal)?;
    let mut answer = HttpResponse::Ok();
    answer.content_type("application/json");
    let Some(next) = first.next else {
        body.push(b'}');
        return Ok(answer.body(body));
    };
    // The array goes on.
    body.pop();
    let state = Some((Some(next), read));
    let rest = stream::try_unfold(state, |state| async {
        let Some((next, read)) = state else { return Ok::<_, serde_json::Error>(None) };
        let Some(next) = next else { return Ok(Some((Bytes::from_static(b"]}"), None))) };
        match read(next).await {
            Ok(chunk) => Ok(Some((piece(&chunk.rows)?, Some((chunk.next, read))))),
            Err(error) => {
                runtime::error::log(&error);
                Err(serde::ser::Error::custom("the list cannot be read to its end"))
            }
        }
    });
    let first = stream::iter([Ok(Bytes::from(body))]);
    Ok(answer.streaming(futures_util::StreamExt::chain(first, rest)))
}

/// Rows as they follow others in an array.
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

    async fn written(rows: u32, most: u32) -> String {
        let answer = all(0, async move |from: u32| {
            let rows: Vec<u32> = (from..rows.min(from + most)).collect();
            let next = (u32::try_from(rows.len()).unwrap() == most).then_some(from + most);
            Ok(Chunk { rows, next })
        });
        let body = to_bytes(answer.await.unwrap().into_body()).await.unwrap();
        String::from_utf8(body.to_vec()).unwrap()
    }

    #[actix_web::test]
    async fn chunks_make_one_list() {
        assert_eq!(written(0, 3).await, r#"{"data":[]}"#);
        assert_eq!(written(2, 3).await, r#"{"data":[0,1]}"#);
        assert_eq!(written(3, 3).await, r#"{"data":[0,1,2]}"#);
        assert_eq!(written(7, 3).await, r#"{"data":[0,1,2,3,4,5,6]}"#);
    }

    #[actix_web::test]
    async fn a_list_that_breaks_off_is_not_passed_off_as_whole() {
        let answer = all(0, async move |from: u32| match from {
            0 => Ok(Chunk { rows: vec![0], next: Some(1) }),
            _ => Err(Error::internal("gone")),
        });
        assert!(to_bytes(answer.await.unwrap().into_body()).await.is_err());
        let refused = all(0, async move |_: u32| Err::<Chunk<u32, u32>, _>(Error::not_found("entity", "x")));
        assert!(refused.await.is_err());
    }
}
