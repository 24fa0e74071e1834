-- Tables of every service. The statement that makes a change also writes its rows here.

-- Audit log. Append-only: the role that serves requests cannot update or delete rows.
CREATE TABLE audit_log (
    id          uuid        PRIMARY KEY,
    platform_id text,
    actor_id    text        NOT NULL,
    actor_type  text        NOT NULL CHECK (actor_type IN ('user', 'apikey', 'operator', 'service', 'system')),
    action      text        NOT NULL,
    entity_type text        NOT NULL,
    entity_id   text        NOT NULL,
    before      jsonb,
    after       jsonb,
    metadata    jsonb       NOT NULL,
    created_at  timestamptz NOT NULL
);
CREATE INDEX audit_log_newest ON audit_log (created_at DESC, id DESC);
CREATE INDEX audit_log_by_platform ON audit_log (platform_id, created_at DESC, id DESC);

DO $$
DECLARE served text;
BEGIN
    FOR served IN
        SELECT DISTINCT grantee::text FROM information_schema.role_table_grants
        WHERE table_schema = current_schema() AND table_name = 'audit_log' AND grantee <> current_user
    LOOP
        EXECUTE format('REVOKE UPDATE, DELETE, TRUNCATE ON audit_log FROM %I', served);
    END LOOP;
END $$;

-- CloudEvents. Events with a destination are delivered there at least once, in order per subject. The others are facts
-- for later readers.
CREATE TABLE outbox (
    seq             bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    id              uuid        NOT NULL,
    destination     text,
    type            text        NOT NULL,
    subject         text        NOT NULL,
    time            timestamptz NOT NULL,
    data            jsonb       NOT NULL,
    request_id      text        NOT NULL,
    traceparent     text,
    attempts        integer     NOT NULL DEFAULT 0,
    next_attempt_at timestamptz NOT NULL,
    last_error      text,
    delivered_at    timestamptz
);
CREATE INDEX outbox_undelivered ON outbox (subject, seq) WHERE destination IS NOT NULL AND delivered_at IS NULL;
CREATE INDEX outbox_due ON outbox (next_attempt_at) WHERE destination IS NOT NULL AND delivered_at IS NULL;
CREATE INDEX outbox_kept ON outbox (time);

-- Stored answers to requests with an idempotency key.
CREATE TABLE idempotency_keys (
    caller      text        NOT NULL,
    key         text        NOT NULL,
    fingerprint bytea       NOT NULL,
    answer      jsonb       NOT NULL,
    created_at  timestamptz NOT NULL,
    CONSTRAINT idempotency_keys_taken PRIMARY KEY (caller, key)
);
CREATE INDEX idempotency_keys_old ON idempotency_keys (created_at);

-- Number of objects in each list, maintained by the transaction that changes the list. A key has several shards, so
-- that two creates do not wait for each other.
CREATE TABLE counters (
    key   text     NOT NULL,
    shard smallint NOT NULL,
    n     bigint   NOT NULL,
    PRIMARY KEY (key, shard)
);
