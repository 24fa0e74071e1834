
diesel::table! {
    ${plural} (id) {
        id -> Uuid,
        platform_id -> Text,
        title -> Text,
        body -> Nullable<Text>,
        created_at -> Timestamptz,
        updated_at -> Timestamptz,
    }
}
