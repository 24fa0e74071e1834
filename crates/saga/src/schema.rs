//! The tables that the migrations create.

diesel::table! {
    sagas (id) {
        id -> Uuid,
        kind -> Text,
        version -> Integer,
        subject -> Text,
        status -> Text,
        input -> Jsonb,
        error -> Nullable<Text>,
        cause -> Nullable<Text>,
        undo_asked -> Nullable<Text>,
        deadline -> Nullable<Timestamptz>,
        next_run_at -> Timestamptz,
        lease_until -> Nullable<Timestamptz>,
        lease_owner -> Nullable<Text>,
        fence -> BigInt,
        request_id -> Text,
        traceparent -> Nullable<Text>,
        created_at -> Timestamptz,
        updated_at -> Timestamptz,
        started_at -> Nullable<Timestamptz>,
        finished_at -> Nullable<Timestamptz>,
        paused_at -> Nullable<Timestamptz>,
        revision -> BigInt,
        flow -> Text,
        waits_for -> Nullable<Uuid>,
    }
}

diesel::table! {
    saga_steps (saga_id, position) {
        saga_id -> Uuid,
        position -> SmallInt,
        name -> Text,
        status -> Text,
        attempts -> Integer,
        undo_attempts -> Integer,
        output -> Nullable<Jsonb>,
        error -> Nullable<Text>,
        started_at -> Nullable<Timestamptz>,
        completed_at -> Nullable<Timestamptz>,
        next_attempt_at -> Nullable<Timestamptz>,
        outages -> Integer,
        undo_outages -> Integer,
        waiting_for -> Nullable<Jsonb>,
    }
}

diesel::joinable!(saga_steps -> sagas (saga_id));
diesel::allow_tables_to_appear_in_same_query!(sagas, saga_steps);
