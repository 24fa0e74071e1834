//! Tables of the database. A test compares them with the migrations.

diesel::table! {
    keys (id) {
        id -> Uuid,
        secret_digest -> Binary,
        name -> Text,
        role -> Text,
        platform_id -> Nullable<Text>,
        entity_id -> Nullable<Text>,
        entity_line -> Array<Text>,
        created_by -> Text,
        created_at -> Timestamptz,
        expires_at -> Nullable<Timestamptz>,
        last_used_at -> Nullable<Timestamptz>,
        revoked_at -> Nullable<Timestamptz>,
    }
}

diesel::table! {
    bindings (id) {
        id -> Uuid,
        subject -> Text,
        role -> Text,
        platform_id -> Nullable<Text>,
        entity_id -> Nullable<Text>,
        entity_line -> Array<Text>,
        created_by -> Text,
        created_at -> Timestamptz,
    }
}

diesel::table! {
    revocations (number) {
        number -> BigInt,
        key_id -> Nullable<Uuid>,
        subject -> Nullable<Text>,
        at -> Timestamptz,
    }
}
