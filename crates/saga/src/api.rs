//! Sagas as the API of a service shows them: listed, read, followed, explained. The service brings the shape.

use std::{collections::HashMap, fmt::Display};

use database::{Conn, Db, counter_total};
use domain::{
    Page, PlatformId, Result,
    explain::{Explanation, Link},
};
use identity::{Ctx, Scope};
use runtime::clock;
use serde::{Serialize, de::DeserializeOwned};
use uuid::Uuid;
use web::{
    ListQuery, Paged,
    events::{Changes, Snapshot},
};

use crate::{Filter, Followers, Saga, SagaStatus, StepRow, Told, by_id, count, page, steps_of};

/// A saga as the API of a service shows it.
pub trait Shown: Serialize + DeserializeOwned + Clone + Send + Sync + 'static {
    /// Its name in errors, explanations and the audit log, such as `job`.
    const NAME: &'static str;
    /// The counter of all sagas of the service.
    const COUNTER: &'static str;

    /// The row that the service keeps with each saga; `()` for none.
    type Row: Clone + Send + Sync;
    /// Its status.
    type Status: Display + Serialize;

    /// Reads the row of a saga.
    fn row(c: &Conn, scope: &Scope, id: Uuid) -> impl Future<Output = Result<Self::Row>> + Send;

    /// Reads the rows of several sagas, by id.
    fn rows(
        c: &Conn,
        scope: &Scope,
        ids: &[Uuid],
    ) -> impl Future<Output = Result<HashMap<Uuid, Self::Row>>> + Send;

    /// Refuses a caller who may not see the saga.
    ///
    /// # Errors
    /// Those that the service answers such a caller with.
    fn may_see(ctx: &Ctx, row: &Self::Row) -> Result<()>;

    /// Shows a saga.
    ///
    /// # Errors
    /// When the saga is not one of this service.
    fn show(row: Self::Row, saga: &Saga, steps: &[StepRow]) -> Result<Self>;

    /// The status of a saga, as it is shown.
    fn status_of(saga: &Saga) -> Self::Status;

    /// The platform that it is about.
    fn platform(&self) -> &PlatformId;
}

/// A saga with its steps, and the row that the service keeps with it.
#[derive(Debug, Clone)]
pub struct Found<T: Shown> {
    pub row: T::Row,
    pub told: Told,
}

impl<T: Shown> Found<T> {
    /// Reads a saga, whoever asks.
    ///
    /// # Errors
    /// [`domain::Kind::NotFound`].
    pub async fn any(c: &Conn, scope: &Scope, id: Uuid) -> Result<Self> {
        let (row, told) = tokio::try_join!(T::row(c, scope, id), by_id(c, T::NAME, id))?;
        Ok(Self { row, told })
    }

    /// Reads a saga that the caller may see.
    ///
    /// # Errors
    /// [`domain::Kind::NotFound`], and those of [`Shown::may_see`].
    pub async fn read(c: &Conn, ctx: &Ctx, id: Uuid) -> Result<Self> {
        let found = Self::any(c, &ctx.caller.scope, id).await?;
        T::may_see(ctx, &found.row)?;
        Ok(found)
    }

    /// The saga as it is shown.
    ///
    /// # Errors
    /// Those of [`Shown::show`].
    pub fn show(&self) -> Result<T> {
        T::show(self.row.clone(), &self.told.saga, &self.told.steps)
    }

    /// The reason why it is not done, as far as this service knows.
    pub fn explain(&self) -> Explanation {
        let saga = &self.told.saga;
        let link = Link::new(T::NAME, saga.id, T::status_of(saga), self.told.says(clock::now()));
        Explanation::new(saga.status == SagaStatus::Completed, link)
    }
}

/// A saga that the caller may see, with the row that the service keeps with it.
///
/// # Errors
/// Those of [`Found::read`].
pub async fn find<T: Shown>(db: &Db, ctx: &Ctx, id: Uuid) -> Result<Found<T>> {
    db.read(ctx, async |c| Found::read(c, ctx, id).await).await
}

/// A saga that the caller may see, as it is shown.
///
/// # Errors
/// Those of [`Found::read`].
pub async fn get<T: Shown>(db: &Db, ctx: &Ctx, id: Uuid) -> Result<T> {
    find::<T>(db, ctx, id).await?.show()
}

/// The page of a list, newest first. `list` names the list, with its filter.
///
/// # Errors
/// Those of [`ListQuery::parse`] and the database.
pub async fn list<T: Shown>(
    db: &Db,
    ctx: &Ctx,
    filter: &Filter<'_>,
    query: &ListQuery,
    list: &str,
) -> Result<Paged<T>> {
    let (scope, (limit, after)) = (&ctx.caller.scope, query.parse(list)?);
    let read = db.read(ctx, async |c| {
        let sagas = page(c, scope, filter, limit, &after).await?;
        let ids: Vec<Uuid> = sagas.iter().map(|saga| saga.id).collect();
        let (rows, steps) = tokio::try_join!(T::rows(c, scope, &ids), steps_of(c, &ids))?;
        let total = match filter.is_everything() {
            true => counter_total(c, T::COUNTER).await?.into(),
            false => count(c, scope, filter).await?,
        };
        Ok((sagas, rows, steps, total))
    });
    let (sagas, mut rows, steps, total) = read.await?;
    let Page { items, next, total } = Page::new(sagas, limit, total, list, Saga::place);
    let steps_of = |id| steps.iter().filter(|step| step.saga_id == id).cloned().collect::<Vec<_>>();
    let shown = |saga: Saga| Some(T::show(rows.remove(&saga.id)?, &saga, &steps_of(saga.id)));
    let items = items.into_iter().filter_map(shown).collect::<Result<_>>()?;
    Ok(Paged::from(Page { items, next, total }))
}

/// The changes of a saga, and what reads it after each: for [`web::events::follow`].
///
/// # Errors
/// Those of [`Followers::follow`].
pub fn follow<T: Shown>(
    db: &Db,
    followers: &Followers,
    ctx: &Ctx,
    id: Uuid,
) -> Result<(Changes, impl AsyncFn() -> Result<Snapshot<T>> + use<T>)> {
    let (db, ctx) = (db.clone(), ctx.clone());
    let read = async move || {
        let found = find::<T>(&db, &ctx, id).await?;
        Ok(found.told.saga.snapshot(found.show()?))
    };
    Ok((followers.follow(id)?, read))
}
