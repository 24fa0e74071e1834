//! Reads of a saga with its steps.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use domain::Kind;
use uuid::Uuid;

use crate::world::{UNDO, World};

#[tokio::test]
async fn saga_and_steps_are_read_consistently() {
    let world = Arc::new(World::new().await);
    let (id, done) = (world.begin(UNDO).await, Arc::new(AtomicBool::new(false)));
    let writes = {
        let (world, done) = (Arc::clone(&world), Arc::clone(&done));
        tokio::spawn(async move {
            for number in 0..1500 {
                let sql = format!(
                    "WITH saga AS (UPDATE sagas SET error = '{number}' WHERE id = '{id}') \
                     UPDATE saga_steps SET error = '{number}' WHERE saga_id = '{id}'"
                );
                world.execute(&sql).await;
            }
            done.store(true, Ordering::SeqCst);
        })
    };
    let mut reads = 0;
    while !done.load(Ordering::SeqCst) {
        let record = world.load(id).await;
        assert!(record.steps.iter().all(|step| step.error == record.saga.error), "inconsistent: {record:?}");
        let names: Vec<_> = record.steps.iter().map(|step| step.name.as_str()).collect();
        assert_eq!(names, ["a", "b", "c"]);
        reads += 1;
    }
    assert!(reads > 100, "{reads} reads");
    writes.await.unwrap();
}

#[tokio::test]
async fn saga_without_steps_is_found_and_an_unknown_id_is_not() {
    let world = World::new().await;
    let id = world.begin(UNDO).await;
    world.execute(&format!("DELETE FROM saga_steps WHERE saga_id = '{id}'")).await;
    assert!(world.load(id).await.steps.is_empty());
    let connection = world.pool.service_conn().await.unwrap();
    let error = saga::by_id(&connection, "saga", Uuid::nil()).await.unwrap_err();
    assert_eq!(error.kind(), Kind::NotFound);
}
