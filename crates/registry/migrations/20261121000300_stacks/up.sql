-- Running instances of a stack template, or custom stacks, for a tenant.
CREATE TABLE stacks (
    id               text        PRIMARY KEY CHECK (id <> 'default'),
    tenant_id        text        NOT NULL,
    platform_id      text        NOT NULL REFERENCES platforms (id),
    name             text        NOT NULL,
    is_default       boolean     NOT NULL,
    -- The version that was the newest active one when the stack was created, by its names in the stack registry.
    template_id      text,
    template_name    text,
    template_version text,
    repo_name        text,
    status           text        NOT NULL CHECK (status IN ('pending', 'provisioning', 'active', 'failed')),
    created_at       timestamptz NOT NULL,
    updated_at       timestamptz NOT NULL,
    CONSTRAINT stacks_of_platform UNIQUE (platform_id, id),
    CONSTRAINT stacks_tenant FOREIGN KEY (platform_id, tenant_id) REFERENCES entities (platform_id, id),
    CONSTRAINT stacks_template CHECK (num_nonnulls(template_id, template_name, template_version) IN (0, 3))
);
CREATE UNIQUE INDEX stacks_name ON stacks (tenant_id, name);
CREATE UNIQUE INDEX stacks_default ON stacks (tenant_id) WHERE is_default;
CREATE INDEX stacks_newest ON stacks (platform_id, created_at DESC, id DESC);
CREATE INDEX stacks_newest_by_tenant ON stacks (platform_id, tenant_id, created_at DESC, id DESC);
