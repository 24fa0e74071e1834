DROP INDEX sagas_due;
ALTER TABLE sagas DROP COLUMN flow;
CREATE INDEX sagas_due ON sagas (next_run_at) WHERE status IN ('pending', 'running', 'undoing') AND paused_at IS NULL;
