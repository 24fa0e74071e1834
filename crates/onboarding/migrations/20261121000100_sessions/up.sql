-- The request of each onboarding. Its progress is in the saga with the same id.
CREATE TABLE sessions (
    id                uuid        PRIMARY KEY REFERENCES sagas (id),
    platform_id       text        NOT NULL,
    user_id           text        NOT NULL,
    platform_name     text        NOT NULL,
    slug              text        NOT NULL,
    tier              text        NOT NULL CHECK (tier IN ('starter', 'growth', 'scale')),
    stack_template_id text,
    provision_job_id  uuid        NOT NULL,
    metadata          jsonb       NOT NULL,
    expires_at        timestamptz NOT NULL,
    created_at        timestamptz NOT NULL,
    updated_at        timestamptz NOT NULL
);
CREATE INDEX sessions_newest ON sessions (created_at DESC, id DESC);
