-- API keys. The table contains the digest of a secret, not the secret.
CREATE TABLE keys (
    id            uuid        PRIMARY KEY,
    -- SHA-256.
    secret_digest bytea       NOT NULL CHECK (length(secret_digest) = 32),
    name          text        NOT NULL,
    role          text        NOT NULL CHECK (role IN ('viewer', 'developer', 'platform-admin', 'operator')),
    -- Both null: all platforms.
    platform_id   text,
    entity_id     text,
    -- The entity and its ancestors, nearest first. Entities do not move, so the path never changes.
    entity_line   text[]      NOT NULL,
    created_by    text        NOT NULL,
    created_at    timestamptz NOT NULL,
    expires_at    timestamptz,
    last_used_at  timestamptz,
    -- A revoked key stays in the table, so that its history stays known.
    revoked_at    timestamptz,
    CONSTRAINT keys_entity_of_platform CHECK (entity_id IS NULL OR platform_id IS NOT NULL),
    CONSTRAINT keys_line_of_entity CHECK ((entity_id IS NULL) = (entity_line = '{}') AND
        (entity_id IS NULL OR entity_line[1] = entity_id)),
    CONSTRAINT keys_operator_of_all CHECK (role <> 'operator' OR platform_id IS NULL)
);
CREATE INDEX keys_newest ON keys (created_at DESC, id DESC);
CREATE INDEX keys_by_platform ON keys (platform_id, created_at DESC, id DESC);
CREATE INDEX keys_by_entity ON keys USING gin (entity_line);

-- The serving role cannot change the grant of a key and cannot delete a key. It can only revoke it.
DO $$
DECLARE served text;
BEGIN
    FOR served IN
        SELECT DISTINCT grantee::text FROM information_schema.role_table_grants
        WHERE table_schema = current_schema() AND table_name = 'keys' AND grantee <> current_user
    LOOP
        EXECUTE format('REVOKE UPDATE, DELETE, TRUNCATE ON keys FROM %I', served);
        EXECUTE format('GRANT UPDATE (last_used_at, revoked_at) ON keys TO %I', served);
    END LOOP;
END $$;
