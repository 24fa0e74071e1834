-- A stack template: a name under which versions are published.
CREATE TABLE stack_templates (
    id             uuid        PRIMARY KEY,
    name           text        NOT NULL,
    display_name   text        NOT NULL,
    description    text        NOT NULL,
    icon           text,
    domain         text,
    -- The newest active version: the highest stable one, else the highest pre-release.
    latest_version text,
    status         text        NOT NULL CHECK (status IN ('active', 'deprecated')),
    created_at     timestamptz NOT NULL,
    updated_at     timestamptz NOT NULL,
    -- Permanent, because templates are never deleted.
    CONSTRAINT stack_templates_name UNIQUE (name)
);
CREATE INDEX stack_templates_newest ON stack_templates (created_at DESC, id DESC) WHERE status = 'active';

DO $$
DECLARE served text;
BEGIN
    FOR served IN
        SELECT DISTINCT grantee::text FROM information_schema.role_table_grants
        WHERE table_schema = current_schema() AND table_name = 'stack_templates' AND grantee <> current_user
    LOOP
        EXECUTE format('REVOKE DELETE, TRUNCATE ON stack_templates FROM %I', served);
    END LOOP;
END $$;
