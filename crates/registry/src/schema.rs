//! The tables, as the migrations leave them; a test compares the two.

diesel::table! {
    platforms (id) {
        id -> Text,
        name -> Text,
        slug -> Text,
        status -> Text,
        tier -> Text,
        cf_account_id -> Nullable<Text>,
        repo_name -> Nullable<Text>,
        stripe_customer_id -> Nullable<Text>,
        owner_user_id -> Nullable<Text>,
        cancelled_at -> Nullable<Timestamptz>,
        cancellation_reason -> Nullable<Text>,
        suspended_at -> Nullable<Timestamptz>,
        suspension_reason -> Nullable<Text>,
        trial_ends_at -> Nullable<Timestamptz>,
        created_at -> Timestamptz,
        updated_at -> Timestamptz,
        deleted_at -> Nullable<Timestamptz>,
        period_ends_at -> Nullable<Timestamptz>,
    }
}

diesel::table! {
    lifecycle_events (id) {
        id -> Uuid,
        platform_id -> Text,
        from_status -> Nullable<Text>,
        to_status -> Text,
        triggered_by -> Text,
        trigger_type -> Text,
        reason -> Nullable<Text>,
        metadata -> Jsonb,
        created_at -> Timestamptz,
    }
}
