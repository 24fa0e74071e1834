UPDATE sagas SET cause = 'failed' WHERE cause = 'discarded';
DROP INDEX sagas_due;
ALTER TABLE saga_steps DROP COLUMN undo_outages, DROP COLUMN outages;
ALTER TABLE sagas
    DROP CONSTRAINT sagas_cause_check,
    ADD CONSTRAINT sagas_cause_check CHECK (cause IN ('failed', 'cancelled', 'expired')),
    DROP COLUMN revision,
    DROP COLUMN paused_at;
CREATE INDEX sagas_due ON sagas (next_run_at) WHERE status IN ('pending', 'running', 'undoing');
