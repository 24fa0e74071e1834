-- Stored versions of templates. A version never changes, so it is stored forever, and the stack registry is not needed
-- for it again.
CREATE TABLE template_versions (
    template_name text NOT NULL,
    version       text NOT NULL,
    template_id   text NOT NULL,
    definition    text NOT NULL,
    PRIMARY KEY (template_name, version)
);

-- The version of a stack is the running one; if none ever ran, the requested one.
ALTER TABLE stacks
    ADD COLUMN is_live          boolean     NOT NULL DEFAULT false,
    ADD COLUMN inputs           jsonb,
    -- Reason why the last finished job was undone.
    ADD COLUMN error            text,
    -- The last requested job. Reports about older jobs change nothing here.
    ADD COLUMN provision_job_id uuid,
    -- Target of the job: version, inputs, and whether it rolls back.
    ADD COLUMN wanted           jsonb,
    -- The version that ran before the last completed upgrade.
    ADD COLUMN previous         jsonb,
    -- The state that the last finished job replaced, in case it is still undone.
    ADD COLUMN replaced         jsonb,
    -- Resources shared by the features of the running version.
    ADD COLUMN shared           text[]      NOT NULL DEFAULT '{}',
    ADD COLUMN deleted_at       timestamptz;
UPDATE stacks SET is_live = true WHERE template_id IS NULL;
-- No job was ever requested for these stacks.
UPDATE stacks SET status = 'failed', error = 'it was made before stacks could be activated' WHERE status = 'pending';
ALTER TABLE stacks
    ALTER COLUMN is_live DROP DEFAULT,
    ALTER COLUMN shared DROP DEFAULT,
    ADD CONSTRAINT stacks_active CHECK (status <> 'active' OR is_live),
    ADD CONSTRAINT stacks_wanted CHECK (status IN ('active', 'failed') OR wanted IS NOT NULL);

-- Frees the name of a deleted stack.
DROP INDEX stacks_name;
DROP INDEX stacks_default;
DROP INDEX stacks_newest;
DROP INDEX stacks_newest_by_tenant;
CREATE UNIQUE INDEX stacks_name ON stacks (tenant_id, name) WHERE deleted_at IS NULL;
CREATE UNIQUE INDEX stacks_default ON stacks (tenant_id) WHERE is_default AND deleted_at IS NULL;
CREATE INDEX stacks_newest ON stacks (platform_id, created_at DESC, id DESC) WHERE deleted_at IS NULL;
CREATE INDEX stacks_newest_by_tenant ON stacks (platform_id, tenant_id, created_at DESC, id DESC)
    WHERE deleted_at IS NULL;
-- Serves the checks of dependencies between stacks.
CREATE INDEX stacks_of_template ON stacks (platform_id, template_name) WHERE deleted_at IS NULL;
