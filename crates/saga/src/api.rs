//! The API of a service's sagas: list, get, follow and explain. The service defines the representation.

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

use crate::{Filter, Followers, Saga, SagaStatus, SagaWithSteps, StepRow, by_id, count, page, steps_of};

/// The API representation of a service's sagas.
pub trait SagaResource: Serialize + DeserializeOwned + Clone + Send + Sync + 'static {
    /// The name in errors, explanations and the audit log, such as `job`.
    const NAME: &'static str;
    /// The counter of all sagas of the service.
    const COUNTER: &'static str;

    /// The row that the service stores with each saga; `()` for none.
    type Row: Clone + Send + Sync;
    /// The public status.
    type Status: Display + Serialize;

    /// Reads the row of a saga.
    fn row(c: &Conn, scope: &Scope, id: Uuid) -> impl Future<Output = Result<Self::Row>> + Send;

    /// Reads the rows of several sagas, by id.
    fn rows(
        c: &Conn,
        scope: &Scope,
        ids: &[Uuid],
    ) -> impl Future<Output = Result<HashMap<Uuid, Self::Row>>> + Send;

    /// Checks that the caller may see the saga.
    ///
    /// # Errors
    /// Those that the service returns to other callers.
    fn check_access(ctx: &Ctx, row: &Self::Row) -> Result<()>;

    /// Builds the representation of a saga.
    ///
    /// # Errors
    /// If the saga does not belong to this service.
    fn from_saga(row: Self::Row, saga: &Saga, steps: &[StepRow]) -> Result<Self>;

    /// Returns the public status of a saga.
    fn status_of(saga: &Saga) -> Self::Status;

    /// Returns the platform that the saga belongs to.
    fn platform(&self) -> &PlatformId;
}

/// A saga with its steps and the service's row.
#[derive(Debug, Clone)]
pub struct LoadedSaga<T: SagaResource> {
    pub row: T::Row,
    pub record: SagaWithSteps,
}

impl<T: SagaResource> LoadedSaga<T> {
    /// Reads a saga without checking the caller's access.
    ///
    /// # Errors
    /// [`domain::Kind::NotFound`].
    pub async fn load_unchecked(c: &Conn, scope: &Scope, id: Uuid) -> Result<Self> {
        let (row, record) = tokio::try_join!(T::row(c, scope, id), by_id(c, T::NAME, id))?;
        Ok(Self { row, record })
    }

    /// Reads a saga that the caller may see.
    ///
    /// # Errors
    /// [`domain::Kind::NotFound`], and those of [`SagaResource::check_access`].
    pub async fn load(c: &Conn, ctx: &Ctx, id: Uuid) -> Result<Self> {
        let found = Self::load_unchecked(c, &ctx.caller.scope, id).await?;
        T::check_access(ctx, &found.row)?;
        Ok(found)
    }

    /// Builds the API representation.
    ///
    /// # Errors
    /// Those of [`SagaResource::from_saga`].
    pub fn to_resource(&self) -> Result<T> {
        T::from_saga(self.row.clone(), &self.record.saga, &self.record.steps)
    }

    /// Explains why the saga is not done, as far as this service knows.
    pub fn explain(&self) -> Explanation {
        let saga = &self.record.saga;
        let link = Link::new(T::NAME, saga.id, T::status_of(saga), self.record.describe(clock::now()));
        Explanation::new(saga.status == SagaStatus::Completed, link)
    }
}

/// Reads a saga that the caller may see.
///
/// # Errors
/// Those of [`LoadedSaga::load`].
pub async fn find<T: SagaResource>(db: &Db, ctx: &Ctx, id: Uuid) -> Result<LoadedSaga<T>> {
    db.read(ctx, async |c| LoadedSaga::load(c, ctx, id).await).await
}

/// Reads the representation of a saga that the caller may see.
///
/// # Errors
/// Those of [`LoadedSaga::load`] and [`SagaResource::from_saga`].
pub async fn get<T: SagaResource>(db: &Db, ctx: &Ctx, id: Uuid) -> Result<T> {
    find::<T>(db, ctx, id).await?.to_resource()
}

/// Reads a page of a list, newest first. `list` identifies the list and its filter in cursors.
///
/// # Errors
/// Those of [`ListQuery::parse`] and the database.
pub async fn list<T: SagaResource>(
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
        let total = match filter.matches_all() {
            true => counter_total(c, T::COUNTER).await?.into(),
            false => count(c, scope, filter).await?,
        };
        Ok((sagas, rows, steps, total))
    });
    let (sagas, mut rows, steps, total) = read.await?;
    let Page { items, next, total } = Page::new(sagas, limit, total, list, Saga::cursor);
    let steps_of = |id| steps.iter().filter(|step| step.saga_id == id).cloned().collect::<Vec<_>>();
    let resource = |saga: Saga| Some(T::from_saga(rows.remove(&saga.id)?, &saga, &steps_of(saga.id)));
    let items = items.into_iter().filter_map(resource).collect::<Result<_>>()?;
    Ok(Paged::from(Page { items, next, total }))
}

/// Returns the changes of a saga and the function that reads it after each change, for [`web::events::follow`].
///
/// # Errors
/// Those of [`Followers::follow`].
pub fn follow<T: SagaResource>(
    db: &Db,
    followers: &Followers,
    ctx: &Ctx,
    id: Uuid,
) -> Result<(Changes, impl AsyncFn() -> Result<Snapshot<T>> + use<T>)> {
    let (db, ctx) = (db.clone(), ctx.clone());
    let read = async move || {
        let found = find::<T>(&db, &ctx, id).await?;
        Ok(found.record.saga.snapshot(found.to_resource()?))
    };
    Ok((followers.follow(id)?, read))
}
