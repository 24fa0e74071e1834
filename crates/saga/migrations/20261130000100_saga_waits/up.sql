-- The saga whose end this one waits for.
ALTER TABLE sagas ADD COLUMN waits_for uuid;
CREATE INDEX sagas_waiting ON sagas (waits_for) WHERE waits_for IS NOT NULL;

-- A saga that ends, or is paused, makes those due that wait for it. A function, because its statements see what was
-- committed while the statement that fired it waited for a row lock: a saga that has just begun to wait.
CREATE FUNCTION wake_waiting_sagas() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE sagas SET next_run_at = now(), waits_for = NULL WHERE waits_for = NEW.id AND next_run_at > now();
    RETURN NULL;
END $$;

CREATE TRIGGER sagas_wake_waiting AFTER UPDATE OF status, paused_at ON sagas FOR EACH ROW
    WHEN (OLD.status IN ('pending', 'running', 'undoing') AND OLD.paused_at IS NULL
        AND (NEW.status NOT IN ('pending', 'running', 'undoing') OR NEW.paused_at IS NOT NULL))
    EXECUTE FUNCTION wake_waiting_sagas();
