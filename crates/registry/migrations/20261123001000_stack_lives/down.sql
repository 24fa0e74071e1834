DROP INDEX stacks_of_template;
DROP INDEX stacks_name;
DROP INDEX stacks_default;
DROP INDEX stacks_newest;
DROP INDEX stacks_newest_by_tenant;
CREATE UNIQUE INDEX stacks_name ON stacks (tenant_id, name);
CREATE UNIQUE INDEX stacks_default ON stacks (tenant_id) WHERE is_default;
CREATE INDEX stacks_newest ON stacks (platform_id, created_at DESC, id DESC);
CREATE INDEX stacks_newest_by_tenant ON stacks (platform_id, tenant_id, created_at DESC, id DESC);
ALTER TABLE stacks
    DROP CONSTRAINT stacks_wanted,
    DROP CONSTRAINT stacks_active,
    DROP COLUMN deleted_at,
    DROP COLUMN shared,
    DROP COLUMN replaced,
    DROP COLUMN previous,
    DROP COLUMN wanted,
    DROP COLUMN provision_job_id,
    DROP COLUMN error,
    DROP COLUMN inputs,
    DROP COLUMN is_live;
DROP TABLE template_versions;
