-- The fairness key: when more sagas are due than can run, the keys take turns, however many sagas one has.
ALTER TABLE sagas ADD COLUMN flow text NOT NULL DEFAULT 'unknown' CHECK (flow <> '');
DROP INDEX sagas_due;
CREATE INDEX sagas_due ON sagas (flow, next_run_at)
    WHERE status IN ('pending', 'running', 'undoing') AND paused_at IS NULL;
