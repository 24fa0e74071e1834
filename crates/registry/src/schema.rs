//! Database tables, as the migrations create them. A test compares the two.

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

diesel::table! {
    entities (id) {
        id -> Text,
        platform_id -> Text,
        parent_id -> Nullable<Text>,
        #[sql_name = "type"]
        kind -> Text,
        name -> Text,
        slug -> Text,
        status -> Text,
        created_at -> Timestamptz,
        updated_at -> Timestamptz,
        deleted_at -> Nullable<Timestamptz>,
        depth -> Integer,
        path -> Array<Text>,
    }
}

diesel::table! {
    stacks (id) {
        id -> Text,
        tenant_id -> Text,
        platform_id -> Text,
        name -> Text,
        is_default -> Bool,
        template_id -> Nullable<Text>,
        template_name -> Nullable<Text>,
        template_version -> Nullable<Text>,
        repo_name -> Nullable<Text>,
        status -> Text,
        created_at -> Timestamptz,
        updated_at -> Timestamptz,
        is_live -> Bool,
        inputs -> Nullable<Jsonb>,
        error -> Nullable<Text>,
        provision_job_id -> Nullable<Uuid>,
        wanted -> Nullable<Jsonb>,
        previous -> Nullable<Jsonb>,
        replaced -> Nullable<Jsonb>,
        shared -> Array<Text>,
        deleted_at -> Nullable<Timestamptz>,
    }
}

diesel::table! {
    subtree_members (ancestor_id, list, created_at, member_id) {
        ancestor_id -> Text,
        list -> Text,
        created_at -> Timestamptz,
        member_id -> Text,
        platform_id -> Text,
        depth -> Nullable<Integer>,
    }
}

diesel::table! {
    template_versions (template_name, version) {
        template_name -> Text,
        version -> Text,
        template_id -> Text,
        definition -> Text,
    }
}

diesel::table! {
    resources (id) {
        id -> Uuid,
        platform_id -> Text,
        entity_id -> Text,
        stack_id -> Text,
        resource_type -> Text,
        service_name -> Text,
        environment -> Text,
        cf_name -> Text,
        cf_id -> Nullable<Text>,
        cf_url -> Nullable<Text>,
        status -> Text,
        provision_job_id -> Nullable<Text>,
        config -> Nullable<Jsonb>,
        created_at -> Timestamptz,
        updated_at -> Timestamptz,
        deleted_at -> Nullable<Timestamptz>,
        owner_entity_id -> Nullable<Text>,
        owner_stack_id -> Nullable<Text>,
    }
}

diesel::table! {
    secrets (id) {
        id -> Uuid,
        platform_id -> Text,
        resource_id -> Uuid,
        secret_name -> Text,
        status -> Text,
        last_set_at -> Nullable<Timestamptz>,
        created_at -> Timestamptz,
        updated_at -> Timestamptz,
    }
}

diesel::table! {
    builds (id) {
        id -> Uuid,
        platform_id -> Text,
        environment -> Text,
        repo_name -> Nullable<Text>,
        last_commit_sha -> Nullable<Text>,
        cf_deployment_id -> Nullable<Text>,
        build_status -> Text,
        build_url -> Nullable<Text>,
        triggered_by -> Text,
        triggered_at -> Nullable<Timestamptz>,
        completed_at -> Nullable<Timestamptz>,
        created_at -> Timestamptz,
        updated_at -> Timestamptz,
    }
}

diesel::table! {
    dns_records (id) {
        id -> Uuid,
        platform_id -> Text,
        stack_id -> Text,
        hostname -> Text,
        target_type -> Text,
        resource_id -> Uuid,
        environment -> Text,
        cf_route_id -> Nullable<Text>,
        status -> Text,
        created_at -> Timestamptz,
        updated_at -> Timestamptz,
        owner_stack_id -> Nullable<Text>,
    }
}

diesel::table! {
    stack_features (stack_id, feature_id) {
        stack_id -> Text,
        feature_id -> Text,
        platform_id -> Text,
        package -> Text,
        has_service -> Bool,
    }
}

diesel::table! {
    feature_activations (id) {
        id -> Uuid,
        platform_id -> Text,
        entity_id -> Text,
        feature_id -> Text,
        feature_version -> Text,
        environment -> Text,
        status -> Text,
        error -> Nullable<Text>,
        activated_at -> Nullable<Timestamptz>,
        deactivated_at -> Nullable<Timestamptz>,
        created_at -> Timestamptz,
        updated_at -> Timestamptz,
        provision_job_id -> Uuid,
        requested_at -> Timestamptz,
        stack_id -> Text,
        package -> Text,
        has_service -> Bool,
        live_version -> Nullable<Text>,
        live_package -> Nullable<Text>,
        service_url -> Nullable<Text>,
        has_data -> Bool,
        took_ms -> Nullable<Integer>,
        owner_stack_id -> Nullable<Text>,
    }
}

diesel::table! {
    manifests (entity_id, environment) {
        entity_id -> Text,
        environment -> Text,
        platform_id -> Text,
        etag -> Text,
        changed_at -> Timestamptz,
    }
}

diesel::table! {
    custom_domains (id) {
        id -> Uuid,
        platform_id -> Text,
        dns_record_id -> Uuid,
        hostname -> Text,
        target_dns -> Text,
        cf_hostname_id -> Nullable<Text>,
        ssl_status -> Text,
        status -> Text,
        verified_at -> Nullable<Timestamptz>,
        created_at -> Timestamptz,
        updated_at -> Timestamptz,
        due_at -> Nullable<Timestamptz>,
        checked_at -> Nullable<Timestamptz>,
        check_error -> Nullable<Text>,
        lapses_at -> Nullable<Timestamptz>,
    }
}

diesel::allow_tables_to_appear_in_same_query!(
    platforms,
    entities,
    stacks,
    resources,
    stack_features,
    feature_activations,
);
diesel::allow_tables_to_appear_in_same_query!(custom_domains, platforms);
