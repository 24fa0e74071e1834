-- What a person was granted. The person is known by what their identity provider calls them.
CREATE TABLE bindings (
    id          uuid        PRIMARY KEY,
    subject     text        NOT NULL,
    role        text        NOT NULL CHECK (role IN ('viewer', 'developer', 'platform-admin', 'operator')),
    -- Both absent: everything.
    platform_id text,
    entity_id   text,
    -- The entity and all that it is under, nearest first. Entities do not move, so it stays what it was.
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

-- A binding is made and deleted, never changed. To hold a row one must be allowed to change something of it: the id says
-- nothing of who holds what.
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
