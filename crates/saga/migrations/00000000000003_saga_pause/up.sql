ALTER TABLE sagas
    -- Since when a person has it rest: no runner takes it until it is resumed, or is to be undone.
    ADD COLUMN paused_at timestamptz,
    -- Grows with every change that a person can see; who follows the saga has seen it up to here.
    ADD COLUMN revision bigint NOT NULL DEFAULT 0,
    DROP CONSTRAINT sagas_cause_check,
    ADD CONSTRAINT sagas_cause_check CHECK (cause IN ('failed', 'cancelled', 'expired', 'discarded'));
-- Tries that met an outage, of running and of undoing: they do not count against those that a step has.
ALTER TABLE saga_steps
    ADD COLUMN outages integer NOT NULL DEFAULT 0,
    ADD COLUMN undo_outages integer NOT NULL DEFAULT 0;
DROP INDEX sagas_due;
CREATE INDEX sagas_due ON sagas (next_run_at) WHERE status IN ('pending', 'running', 'undoing') AND paused_at IS NULL;
