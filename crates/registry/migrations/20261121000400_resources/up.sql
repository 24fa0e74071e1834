-- Provisioned resources.
CREATE TABLE resources (
    id               uuid        PRIMARY KEY,
    platform_id      text        NOT NULL REFERENCES platforms (id),
    -- An entity of the platform, or the platform's own id for a resource of the platform itself.
    entity_id        text        NOT NULL,
    -- A stack of the platform, or `default`.
    stack_id         text        NOT NULL,
    resource_type    text        NOT NULL CHECK (resource_type IN ('worker', 'pages', 'd1', 'r2', 'kv', 'queue')),
    service_name     text        NOT NULL,
    environment      text        NOT NULL CHECK (environment IN ('dev', 'stg', 'prod')),
    cf_name          text        NOT NULL,
    cf_id            text,
    cf_url           text,
    status           text        NOT NULL CHECK (status IN ('pending', 'provisioning', 'active', 'failed', 'deleted')),
    provision_job_id text,
    config           jsonb,
    created_at       timestamptz NOT NULL,
    updated_at       timestamptz NOT NULL,
    deleted_at       timestamptz,
    -- The two references without their literal values, so that the database can enforce them.
    owner_entity_id  text        GENERATED ALWAYS AS (NULLIF(entity_id, platform_id)) STORED,
    owner_stack_id   text        GENERATED ALWAYS AS (NULLIF(stack_id, 'default')) STORED,
    CONSTRAINT resources_of_platform UNIQUE (platform_id, id),
    CONSTRAINT resources_entity FOREIGN KEY (platform_id, owner_entity_id) REFERENCES entities (platform_id, id),
    CONSTRAINT resources_stack FOREIGN KEY (platform_id, owner_stack_id) REFERENCES stacks (platform_id, id),
    CONSTRAINT resources_deleted_at CHECK ((status = 'deleted') = (deleted_at IS NOT NULL))
);
CREATE UNIQUE INDEX resources_cf_name_live ON resources (cf_name) WHERE deleted_at IS NULL;
CREATE INDEX resources_newest ON resources (platform_id, created_at DESC, id DESC) WHERE deleted_at IS NULL;
CREATE INDEX resources_newest_by_entity ON resources (platform_id, entity_id, created_at DESC, id DESC)
    WHERE deleted_at IS NULL;
