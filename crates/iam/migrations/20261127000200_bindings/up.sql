-- Roles of users. The subject at the identity provider identifies a user.
CREATE TABLE bindings (
    id          uuid        PRIMARY KEY,
    subject     text        NOT NULL,
    role        text        NOT NULL CHECK (role IN ('viewer', 'developer', 'platform-admin', 'operator')),
    -- Both null: all platforms.
    platform_id text,
    entity_id   text,
    -- The entity and its ancestors, nearest first. Entities do not move, so the path never changes.
    entity_line text[]      NOT NULL,
    created_by  text        NOT NULL,
    created_at  timestamptz NOT NULL,
    CONSTRAINT bindings_once UNIQUE NULLS NOT DISTINCT (subject, role, platform_id, entity_id),
    CONSTRAINT bindings_entity_of_platform CHECK (entity_id IS NULL OR platform_id IS NOT NULL),
    CONSTRAINT bindings_line_of_entity CHECK ((entity_id IS NULL) = (entity_line = '{}') AND
        (entity_id IS NULL OR entity_line[1] = entity_id)),
    CONSTRAINT bindings_operator_of_all CHECK (role <> 'operator' OR platform_id IS NULL)
);
CREATE INDEX bindings_newest ON bindings (created_at DESC, id DESC);
CREATE INDEX bindings_by_subject ON bindings (subject, created_at DESC, id DESC);
CREATE INDEX bindings_by_platform ON bindings (platform_id, created_at DESC, id DESC);
CREATE INDEX bindings_by_entity ON bindings USING gin (entity_line);

-- The serving role can create and delete bindings, not change them. Locking a row requires the permission to update a
-- column; updating the id changes no grant.
DO $$
DECLARE served text;
BEGIN
    FOR served IN
        SELECT DISTINCT grantee::text FROM information_schema.role_table_grants
        WHERE table_schema = current_schema() AND table_name = 'bindings' AND grantee <> current_user
    LOOP
        EXECUTE format('REVOKE UPDATE, TRUNCATE ON bindings FROM %I', served);
        EXECUTE format('GRANT UPDATE (id) ON bindings TO %I', served);
    END LOOP;
END $$;
