-- What is known of a version of a template. A version never changes, so it is kept for good: what was seen once needs no
-- stack registry any more.
CREATE TABLE template_versions (
    template_name text NOT NULL,
    version       text NOT NULL,
    template_id   text NOT NULL,
    definition    text NOT NULL,
    PRIMARY KEY (template_name, version)
);

-- A stack's version is what it runs; of one that never ran, what it is to run.
ALTER TABLE stacks
    ADD COLUMN is_live          boolean     NOT NULL DEFAULT false,
    ADD COLUMN inputs           jsonb,
    -- Why the job that ended last was undone.
    ADD COLUMN error            text,
    -- The job that was asked for last: what is reported of an older one changes nothing here.
    ADD COLUMN provision_job_id uuid,
    -- What the job is to lead to: version, inputs, whether it goes back.
    ADD COLUMN wanted           jsonb,
    -- What ran before the last upgrade that was completed.
    ADD COLUMN previous         jsonb,
    -- What the job that ended last has replaced, should it be undone yet.
    ADD COLUMN replaced         jsonb,
    -- What the features of the version that runs share.
    ADD COLUMN shared           text[]      NOT NULL DEFAULT '{}',
    ADD COLUMN deleted_at       timestamptz;
UPDATE stacks SET is_live = true WHERE template_id IS NULL;
-- No job was ever asked for these.
UPDATE stacks SET status = 'failed', error = 'it was made before stacks could be activated' WHERE status = 'pending';
ALTER TABLE stacks
    ALTER COLUMN is_live DROP DEFAULT,
    ALTER COLUMN shared DROP DEFAULT,
    ADD CONSTRAINT stacks_active CHECK (status <> 'active' OR is_live),
    ADD CONSTRAINT stacks_wanted CHECK (status IN ('active', 'failed') OR wanted IS NOT NULL);

-- The name of a stack that is deleted is free.
DROP INDEX stacks_name;
DROP INDEX stacks_default;
DROP INDEX stacks_newest;
DROP INDEX stacks_newest_by_tenant;
CREATE UNIQUE INDEX stacks_name ON stacks (tenant_id, name) WHERE deleted_at IS NULL;
CREATE UNIQUE INDEX stacks_default ON stacks (tenant_id) WHERE is_default AND deleted_at IS NULL;
CREATE INDEX stacks_newest ON stacks (platform_id, created_at DESC, id DESC) WHERE deleted_at IS NULL;
CREATE INDEX stacks_newest_by_tenant ON stacks (platform_id, tenant_id, created_at DESC, id DESC)
    WHERE deleted_at IS NULL;
-- Whether another stack's dependency is there.
CREATE INDEX stacks_of_template ON stacks (platform_id, template_name) WHERE deleted_at IS NULL;
