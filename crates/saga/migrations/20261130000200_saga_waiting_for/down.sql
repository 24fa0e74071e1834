DROP INDEX saga_steps_job;
ALTER TABLE saga_steps ADD COLUMN sentence text;
UPDATE saga_steps SET sentence = CASE waiting_for ->> 'kind'
    WHEN 'person' THEN 'a person: its tries are used up'
    WHEN 'saga' THEN format('%s %s, which works on %s', waiting_for ->> 'noun', waiting_for ->> 'saga', waiting_for ->> 'worksOn')
    WHEN 'job' THEN format('provisioning job %s: %s', waiting_for ->> 'job', waiting_for ->> 'at')
    WHEN 'stack' THEN format('stack %s, which is %s (provisioning job %s)',
        waiting_for ->> 'stack', waiting_for ->> 'status', waiting_for ->> 'job')
    WHEN 'resources' THEN 'resources ' || (
        SELECT string_agg(name, ', ' ORDER BY place)
        FROM jsonb_array_elements_text(waiting_for -> 'names') WITH ORDINALITY AS of (name, place))
    ELSE waiting_for ->> 'text'
END WHERE waiting_for IS NOT NULL;
ALTER TABLE saga_steps DROP COLUMN waiting_for;
ALTER TABLE saga_steps RENAME COLUMN sentence TO waiting_for;
