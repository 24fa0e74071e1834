//! Tables of the database. A test compares them with the migrations.

diesel::table! {
    stack_templates (id) {
        id -> Uuid,
        name -> Text,
        display_name -> Text,
        description -> Text,
        icon -> Nullable<Text>,
        domain -> Nullable<Text>,
        latest_version -> Nullable<Text>,
        status -> Text,
        created_at -> Timestamptz,
        updated_at -> Timestamptz,
        labels -> Nullable<Jsonb>,
    }
}

diesel::table! {
    stack_versions (id) {
        id -> Uuid,
        template_id -> Uuid,
        version -> Text,
        sort_key -> Text,
        stable -> Bool,
        stack_definition -> Text,
        depends_on -> Array<Text>,
        nno_sdk_version -> Text,
        status -> Text,
        published_at -> Timestamptz,
        created_at -> Timestamptz,
    }
}

diesel::allow_tables_to_appear_in_same_query!(stack_templates, stack_versions);
