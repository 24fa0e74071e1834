-- The write at each boundary of a step: the saga and one step, guarded by the fence. `:saga` is a loaded saga.
\set saga random(1, :rows)
WITH held AS (UPDATE sagas SET status = 'running', error = NULL, cause = NULL, started_at = now(), finished_at = NULL, updated_at = now(), revision = revision + 1 WHERE id = ('00000000-0000-0000-0000-' || lpad((:saga)::text, 12, '0'))::uuid AND fence = 0 RETURNING id, undo_asked) UPDATE saga_steps SET status = 'completed', attempts = 1, started_at = now(), completed_at = now() FROM held WHERE saga_id = held.id AND position = 0;
