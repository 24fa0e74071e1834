-- Platforms: one customer product each, and the tenant boundary.
CREATE TABLE platforms (
    id                  text        PRIMARY KEY,
    name                text        NOT NULL,
    slug                text        NOT NULL,
    status              text        NOT NULL CHECK (status IN ('pending', 'provisioning', 'active', 'suspended', 'pending_cancellation', 'cancelled', 'deleted')),
    tier                text        NOT NULL CHECK (tier IN ('starter', 'growth', 'scale')),
    cf_account_id       text,
    repo_name           text,
    stripe_customer_id  text,
    owner_user_id       text,
    cancelled_at        timestamptz,
    cancellation_reason text,
    suspended_at        timestamptz,
    suspension_reason   text,
    trial_ends_at       timestamptz,
    created_at          timestamptz NOT NULL,
    updated_at          timestamptz NOT NULL,
    deleted_at          timestamptz,
    -- End of the paid period of a cancelled platform.
    period_ends_at      timestamptz,
    CONSTRAINT platforms_deleted_at CHECK ((status = 'deleted') = (deleted_at IS NOT NULL))
);
CREATE UNIQUE INDEX platforms_slug_live ON platforms (slug) WHERE deleted_at IS NULL;
CREATE INDEX platforms_newest ON platforms (created_at DESC, id DESC) WHERE deleted_at IS NULL;
CREATE INDEX platforms_period_end ON platforms (period_ends_at) WHERE status = 'pending_cancellation';

-- Lifecycle events of platforms. Append-only.
CREATE TABLE lifecycle_events (
    id           uuid        PRIMARY KEY,
    platform_id  text        NOT NULL REFERENCES platforms (id),
    from_status  text,
    to_status    text        NOT NULL,
    triggered_by text        NOT NULL,
    trigger_type text        NOT NULL CHECK (trigger_type IN ('user', 'operator', 'system', 'billing')),
    reason       text,
    metadata     jsonb       NOT NULL,
    created_at   timestamptz NOT NULL
);
CREATE INDEX lifecycle_events_newest ON lifecycle_events (platform_id, created_at DESC, id DESC);
