-- Builds of a platform per environment.
CREATE TABLE builds (
    id               uuid        PRIMARY KEY,
    platform_id      text        NOT NULL REFERENCES platforms (id),
    environment      text        NOT NULL CHECK (environment IN ('dev', 'stg', 'prod')),
    repo_name        text,
    last_commit_sha  text,
    cf_deployment_id text,
    build_status     text        NOT NULL CHECK (build_status IN ('unknown', 'building', 'success', 'failed')),
    build_url        text,
    triggered_by     text        NOT NULL CHECK (triggered_by IN ('feature_activation', 'manual', 'push')),
    triggered_at     timestamptz,
    completed_at     timestamptz,
    created_at       timestamptz NOT NULL,
    updated_at       timestamptz NOT NULL,
    CONSTRAINT builds_ends_after_start CHECK (completed_at >= triggered_at)
);
CREATE INDEX builds_newest ON builds (platform_id, created_at DESC, id DESC);
CREATE INDEX builds_newest_by_environment ON builds (platform_id, environment, created_at DESC, id DESC);
