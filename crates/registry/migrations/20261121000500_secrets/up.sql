-- Status of the secrets of resources. Never a value.
CREATE TABLE secrets (
    id          uuid        PRIMARY KEY,
    platform_id text        NOT NULL REFERENCES platforms (id),
    resource_id uuid        NOT NULL,
    secret_name text        NOT NULL,
    status      text        NOT NULL CHECK (status IN ('missing', 'set', 'rotated', 'error')),
    last_set_at timestamptz,
    created_at  timestamptz NOT NULL,
    updated_at  timestamptz NOT NULL,
    CONSTRAINT secrets_name UNIQUE (resource_id, secret_name),
    CONSTRAINT secrets_resource FOREIGN KEY (platform_id, resource_id) REFERENCES resources (platform_id, id)
);
