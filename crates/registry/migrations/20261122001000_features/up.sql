-- Features that the definition of a stack's version names. A version never changes.
CREATE TABLE stack_features (
    stack_id    text    NOT NULL,
    feature_id  text    NOT NULL,
    platform_id text    NOT NULL REFERENCES platforms (id),
    package     text    NOT NULL,
    has_service boolean NOT NULL,
    PRIMARY KEY (stack_id, feature_id),
    CONSTRAINT stack_features_stack FOREIGN KEY (platform_id, stack_id) REFERENCES stacks (platform_id, id)
);

-- Features that an entity runs or ran in an environment.
CREATE TABLE feature_activations (
    id               uuid        PRIMARY KEY,
    platform_id      text        NOT NULL REFERENCES platforms (id),
    entity_id        text        NOT NULL,
    feature_id       text        NOT NULL,
    -- The last requested version.
    feature_version  text        NOT NULL,
    environment      text        NOT NULL CHECK (environment IN ('dev', 'stg', 'prod')),
    status           text        NOT NULL CHECK (status IN ('pending', 'provisioning', 'active', 'failed', 'deactivating', 'deactivated')),
    -- Reason why the last finished job was undone.
    error            text,
    activated_at     timestamptz,
    deactivated_at   timestamptz,
    created_at       timestamptz NOT NULL,
    updated_at       timestamptz NOT NULL,
    -- The last requested job, and its build. Reports about older jobs change nothing here.
    provision_job_id uuid        NOT NULL,
    requested_at     timestamptz NOT NULL,
    -- The stack that the feature's service belongs to, or `default`.
    stack_id         text        NOT NULL,
    package          text        NOT NULL,
    has_service      boolean     NOT NULL,
    -- The running version, which the manifest shows. It stays during an upgrade.
    live_version     text,
    live_package     text,
    service_url      text,
    -- True if the service has data of this entity, also after its deactivation.
    has_data         boolean     NOT NULL,
    -- Duration of the last completed activation since its request, in milliseconds.
    took_ms          integer,
    owner_stack_id   text        GENERATED ALWAYS AS (NULLIF(stack_id, 'default')) STORED,
    CONSTRAINT feature_activations_one UNIQUE (entity_id, environment, feature_id),
    CONSTRAINT feature_activations_entity FOREIGN KEY (platform_id, entity_id) REFERENCES entities (platform_id, id),
    CONSTRAINT feature_activations_stack FOREIGN KEY (platform_id, owner_stack_id) REFERENCES stacks (platform_id, id),
    CONSTRAINT feature_activations_live CHECK ((live_version IS NULL) = (live_package IS NULL)),
    CONSTRAINT feature_activations_active CHECK (status <> 'active' OR live_version IS NOT NULL)
);
CREATE INDEX feature_activations_newest ON feature_activations (entity_id, created_at DESC, id DESC);
-- Entities that share a service.
CREATE INDEX feature_activations_of_service ON feature_activations (platform_id, stack_id, feature_id, environment);
-- Durations of the latest activations.
CREATE INDEX feature_activations_took ON feature_activations (activated_at DESC) WHERE took_ms IS NOT NULL;

-- Tags of manifests, written in the statement of every change of an activation.
CREATE TABLE manifests (
    entity_id   text        NOT NULL,
    environment text        NOT NULL CHECK (environment IN ('dev', 'stg', 'prod')),
    platform_id text        NOT NULL REFERENCES platforms (id),
    etag        text        NOT NULL,
    changed_at  timestamptz NOT NULL,
    PRIMARY KEY (entity_id, environment),
    CONSTRAINT manifests_entity FOREIGN KEY (platform_id, entity_id) REFERENCES entities (platform_id, id)
);
