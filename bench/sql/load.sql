-- A registry of $rows platforms, created one second apart, each with the rows that its creation wrote. Ids are ten digits
-- from 1000000000 on. Every tenth platform has an entity with the same id, which runs five features.
BEGIN;
-- Foreign keys are not checked, because the referenced rows are loaded too.
SET LOCAL session_replication_role = replica;
INSERT INTO platforms (id, name, slug, status, tier, owner_user_id, created_at, updated_at)
    SELECT (1000000000 + n)::text, 'Platform ' || n, 'platform-' || n, 'active', 'growth', 'operator',
        to_timestamp(1000000000 + n), to_timestamp(1000000000 + n)
    FROM generate_series(0, $rows - 1) n;
INSERT INTO lifecycle_events (id, platform_id, to_status, triggered_by, trigger_type, metadata, created_at)
    SELECT gen_random_uuid(), (1000000000 + n)::text, 'active', 'operator', 'operator', '{}', to_timestamp(1000000000 + n)
    FROM generate_series(0, $rows - 1) n;
INSERT INTO audit_log (id, platform_id, actor_id, actor_type, action, entity_type, entity_id, after, metadata, created_at)
    SELECT gen_random_uuid(), (1000000000 + n)::text, 'operator', 'operator', 'platform.created', 'platform',
        (1000000000 + n)::text, jsonb_build_object('name', 'Platform ' || n, 'status', 'active'), '{}', to_timestamp(1000000000 + n)
    FROM generate_series(0, $rows - 1) n;
INSERT INTO counters (key, shard, n)
    SELECT 'audit:' || (1000000000 + n), 0, 1 FROM generate_series(0, $rows - 1) n
    UNION ALL SELECT 'lifecycle:' || (1000000000 + n), 0, 1 FROM generate_series(0, $rows - 1) n
    UNION ALL SELECT key, shard, $rows / 16 FROM unnest(ARRAY['audit', 'platforms']) key, generate_series(0, 15) shard;
INSERT INTO entities (id, platform_id, type, name, slug, status, created_at, updated_at, depth, path)
    SELECT id, id, 'tenant', name, slug, 'active', created_at, updated_at, 1, '{}' FROM platforms WHERE id LIKE '%0';
INSERT INTO manifests (entity_id, environment, platform_id, etag, changed_at)
    SELECT id, 'prod', id, '"' || gen_random_uuid() || '"', created_at FROM entities;
INSERT INTO feature_activations (id, platform_id, entity_id, feature_id, feature_version, environment, status, activated_at,
        created_at, updated_at, provision_job_id, requested_at, stack_id, package, has_service, live_version, live_package,
        service_url, has_data)
    SELECT gen_random_uuid(), id, id, feature, '1.0.0', 'prod', 'active', created_at, created_at, created_at,
        gen_random_uuid(), created_at, 'default', '@neutrino-io/feature-' || feature, true, '1.0.0',
        '@neutrino-io/feature-' || feature, 'https://' || feature || '.svc.default.' || id || '.nno.localhost', false
    FROM entities, unnest(ARRAY['analytics', 'billing', 'catalog', 'settings', 'users']) feature;
COMMIT;
VACUUM ANALYZE;
CHECKPOINT;
