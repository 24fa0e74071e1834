-- The saga whose end this saga waits for.
ALTER TABLE sagas ADD COLUMN waits_for uuid;
CREATE INDEX sagas_waiting ON sagas (waits_for) WHERE waits_for IS NOT NULL;

-- When a saga ends or is paused, the sagas that wait for it become due. This is a function because its statements see
-- rows committed while the triggering statement waited for a row lock, such as a saga that has just started to wait.
CREATE FUNCTION wake_waiting_sagas() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE sagas SET next_run_at = now(), waits_for = NULL WHERE waits_for = NEW.id AND next_run_at > now();
    RETURN NULL;
END $$;

CREATE TRIGGER sagas_wake_waiting AFTER UPDATE OF status, paused_at ON sagas FOR EACH ROW
    WHEN (OLD.status IN ('pending', 'running', 'undoing') AND OLD.paused_at IS NULL
        AND (NEW.status NOT IN ('pending', 'running', 'undoing') OR NEW.paused_at IS NOT NULL))
    EXECUTE FUNCTION wake_waiting_sagas();
