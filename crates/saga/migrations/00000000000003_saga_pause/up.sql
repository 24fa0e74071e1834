ALTER TABLE sagas
    -- The time at which an operator paused the saga. No runner claims it until it is resumed or cancelled.
    ADD COLUMN paused_at timestamptz,
    -- Increases with every visible change, so that followers can resume from the revision they saw last.
    ADD COLUMN revision bigint NOT NULL DEFAULT 0,
    DROP CONSTRAINT sagas_cause_check,
    ADD CONSTRAINT sagas_cause_check CHECK (cause IN ('failed', 'cancelled', 'expired', 'discarded'));
-- Attempts to run and to undo the step that met an outage. They do not count against its limit.
ALTER TABLE saga_steps
    ADD COLUMN outages integer NOT NULL DEFAULT 0,
    ADD COLUMN undo_outages integer NOT NULL DEFAULT 0;
DROP INDEX sagas_due;
CREATE INDEX sagas_due ON sagas (next_run_at) WHERE status IN ('pending', 'running', 'undoing') AND paused_at IS NULL;
