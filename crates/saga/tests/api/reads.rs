//! Reads of a saga with its steps.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use domain::Kind;
use uuid::Uuid;

use crate::world::{UNDO, World};

#[tokio::test]
async fn a_saga_and_its_steps_are_read_as_of_one_moment() {
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
        let told = world.told(id).await;
        assert!(told.steps.iter().all(|step| step.error == told.saga.error), "torn: {told:?}");
        let names: Vec<_> = told.steps.iter().map(|step| step.name.as_str()).collect();
        assert_eq!(names, ["a", "b", "c"]);
        reads += 1;
    }
    assert!(reads > 100, "{reads} reads");
    writes.await.unwrap();
}

#[tokio::test]
async fn a_saga_without_steps_is_read_and_one_that_is_not_there_is_not_found() {
    let world = World::new().await;
    let id = world.begin(UNDO).await;
    world.execute(&format!("DELETE FROM saga_steps WHERE saga_id = '{id}'")).await;
    assert!(world.told(id).await.steps.is_empty());
    let connection = world.pool.service_conn().await.unwrap();
    let error = saga::by_id(&connection, "saga", Uuid::nil()).await.unwrap_err();
    assert_eq!(error.kind(), Kind::NotFound);
}
