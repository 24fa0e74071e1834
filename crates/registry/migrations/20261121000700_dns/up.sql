-- Host names that point to resources. Deletion removes the row and frees the name; the audit log keeps the record.
CREATE TABLE dns_records (
    id             uuid        PRIMARY KEY,
    platform_id    text        NOT NULL REFERENCES platforms (id),
    -- A stack of the platform, or `default`.
    stack_id       text        NOT NULL,
    hostname       text        NOT NULL,
    target_type    text        NOT NULL,
    resource_id    uuid        NOT NULL,
    environment    text        NOT NULL CHECK (environment IN ('dev', 'stg', 'prod')),
    cf_route_id    text,
    status         text        NOT NULL CHECK (status IN ('pending', 'active', 'failed')),
    created_at     timestamptz NOT NULL,
    updated_at     timestamptz NOT NULL,
    owner_stack_id text        GENERATED ALWAYS AS (NULLIF(stack_id, 'default')) STORED,
    CONSTRAINT dns_records_hostname UNIQUE (hostname),
    CONSTRAINT dns_records_stack FOREIGN KEY (platform_id, owner_stack_id) REFERENCES stacks (platform_id, id),
    CONSTRAINT dns_records_resource FOREIGN KEY (platform_id, resource_id) REFERENCES resources (platform_id, id)
);
CREATE INDEX dns_records_newest ON dns_records (platform_id, stack_id, created_at DESC, id DESC);
CREATE INDEX dns_records_resource_id ON dns_records (platform_id, resource_id);
