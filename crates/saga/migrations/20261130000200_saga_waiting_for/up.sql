-- The cause that a step waits for, as data from which the sentence is built. A new column is added instead of changing
-- the type of the old one, so that only the few waiting rows are written.
ALTER TABLE saga_steps RENAME COLUMN waiting_for TO sentence;
ALTER TABLE saga_steps ADD COLUMN waiting_for jsonb;
UPDATE saga_steps SET waiting_for = CASE
    WHEN sentence = 'a person: its tries are used up' THEN '{"kind": "person"}'
    WHEN sentence ~ '^job [0-9a-f-]{36}, which works on ' THEN jsonb_build_object(
        'kind', 'saga', 'noun', 'job', 'saga', substr(sentence, 5, 36), 'worksOn', substr(sentence, 58))
    WHEN sentence ~ '^provisioning job [0-9a-f-]{36}: ' THEN jsonb_build_object(
        'kind', 'job', 'job', substr(sentence, 18, 36), 'at', substr(sentence, 56))
    ELSE jsonb_build_object('kind', 'text', 'text', sentence)
END WHERE sentence IS NOT NULL;
ALTER TABLE saga_steps DROP COLUMN sentence;
-- The steps that wait for a job of another service, by job. The end of the job makes them due.
CREATE INDEX saga_steps_job ON saga_steps ((waiting_for ->> 'job')) WHERE waiting_for ->> 'job' IS NOT NULL;
