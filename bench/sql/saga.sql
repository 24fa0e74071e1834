-- A saga by its id. `:saga` is a loaded saga.
\set saga random(1, :rows)
SELECT * FROM sagas WHERE id = ('00000000-0000-0000-0000-' || lpad((:saga)::text, 12, '0'))::uuid;
