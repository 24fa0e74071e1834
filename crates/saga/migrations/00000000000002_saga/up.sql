-- Durable sagas and their steps.
CREATE TABLE sagas (
    id          uuid        PRIMARY KEY,
    kind        text        NOT NULL,
    -- The version of the definition under which the saga started.
    version     integer     NOT NULL,
    -- The object that the saga works on, such as a platform's id.
    subject     text        NOT NULL,
    status      text        NOT NULL CHECK (status IN ('pending', 'running', 'undoing', 'completed', 'undone', 'stuck')),
    input       jsonb       NOT NULL,
    -- The reason why the saga is undone or stuck, as text.
    error       text,
    -- The category of the reason: failed, cancelled, expired.
    cause       text        CHECK (cause IN ('failed', 'cancelled', 'expired')),
    -- The reason of a requested undo. The runner reads it at its next write.
    undo_asked  text,
    -- A saga that is not finished by this time is undone.
    deadline    timestamptz,
    next_run_at timestamptz NOT NULL,
    lease_until timestamptz,
    lease_owner text,
    -- Fencing token: increases with every claim. A write with an older token is rejected.
    fence       bigint      NOT NULL,
    request_id  text        NOT NULL,
    traceparent text,
    created_at  timestamptz NOT NULL,
    updated_at  timestamptz NOT NULL,
    started_at  timestamptz,
    finished_at timestamptz
);
CREATE INDEX sagas_due ON sagas (next_run_at) WHERE status IN ('pending', 'running', 'undoing');
CREATE INDEX sagas_newest ON sagas (created_at DESC, id DESC);
CREATE INDEX sagas_by_status ON sagas (status, created_at DESC, id DESC);
CREATE INDEX sagas_by_subject ON sagas (subject, created_at DESC, id DESC);

CREATE TABLE saga_steps (
    saga_id         uuid     NOT NULL REFERENCES sagas (id) ON DELETE CASCADE,
    position        smallint NOT NULL,
    name            text     NOT NULL,
    status          text     NOT NULL CHECK (status IN ('pending', 'in_progress', 'completed', 'failed', 'compensated', 'skipped')),
    attempts        integer  NOT NULL,
    undo_attempts   integer  NOT NULL,
    output          jsonb,
    error           text,
    waiting_for     text,
    started_at      timestamptz,
    completed_at    timestamptz,
    next_attempt_at timestamptz,
    PRIMARY KEY (saga_id, position)
);
