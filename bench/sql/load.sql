-- A registry of $rows platforms, a second apart, each with what making it left. Ids are ten digits from 1000000000 on.
BEGIN;
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
COMMIT;
VACUUM ANALYZE;
CHECKPOINT;
