DROP TRIGGER sagas_wake_waiting ON sagas;
DROP FUNCTION wake_waiting_sagas();
ALTER TABLE sagas DROP COLUMN waits_for;
