-- A version of a stack template. It never changes, except that it may be deprecated.
CREATE TABLE stack_versions (
    id               uuid        PRIMARY KEY,
    template_id      uuid        NOT NULL REFERENCES stack_templates (id),
    version          text        NOT NULL,
    -- Ordered byte by byte, which is semver precedence.
    sort_key         text        COLLATE "C" NOT NULL,
    stable           boolean     NOT NULL,
    -- Canonical JSON text.
    stack_definition text        NOT NULL,
    -- The names of the templates that the definition depends on.
    depends_on       text[]      NOT NULL,
    nno_sdk_version  text        NOT NULL,
    status           text        NOT NULL CHECK (status IN ('active', 'deprecated')),
    published_at     timestamptz NOT NULL,
    created_at       timestamptz NOT NULL,
    CONSTRAINT stack_versions_version UNIQUE (template_id, version)
);
CREATE INDEX stack_versions_highest ON stack_versions (template_id, sort_key DESC);
CREATE INDEX stack_versions_latest ON stack_versions (template_id, stable DESC, sort_key DESC) WHERE status = 'active';
CREATE INDEX stack_versions_dependent ON stack_versions (template_id) WHERE status = 'active' AND depends_on <> '{}';

-- The latest version of a template is one of its own versions.
ALTER TABLE stack_templates ADD CONSTRAINT stack_templates_latest_version
    FOREIGN KEY (id, latest_version) REFERENCES stack_versions (template_id, version);

-- No role, not even the owner, can change a published version.
CREATE FUNCTION stack_versions_never_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF to_jsonb(NEW) - 'status' IS DISTINCT FROM to_jsonb(OLD) - 'status' THEN
        RAISE EXCEPTION 'a published stack version does not change' USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    IF OLD.status = 'deprecated' AND NEW.status <> OLD.status THEN
        RAISE EXCEPTION 'a deprecated stack version stays deprecated' USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER stack_versions_never_change BEFORE UPDATE ON stack_versions
    FOR EACH ROW EXECUTE FUNCTION stack_versions_never_change();

DO $$
DECLARE served text;
BEGIN
    FOR served IN
        SELECT DISTINCT grantee::text FROM information_schema.role_table_grants
        WHERE table_schema = current_schema() AND table_name = 'stack_versions' AND grantee <> current_user
    LOOP
        EXECUTE format('REVOKE UPDATE, DELETE, TRUNCATE ON stack_versions FROM %I', served);
        EXECUTE format('GRANT UPDATE (status) ON stack_versions TO %I', served);
    END LOOP;
END $$;
