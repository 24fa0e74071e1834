//! The tables that the migrations create.

diesel::table! {
    sessions (id) {
        id -> Uuid,
        platform_id -> Text,
        user_id -> Text,
        platform_name -> Text,
        slug -> Text,
        tier -> Text,
        stack_template_id -> Nullable<Text>,
        provision_job_id -> Uuid,
        metadata -> Jsonb,
        expires_at -> Timestamptz,
        created_at -> Timestamptz,
        updated_at -> Timestamptz,
    }
}
