-- The jobs that wait for their turn. Each waits for the end of the job before it: so an end wakes one of them.
CREATE TABLE turn_queue (
    thing    text NOT NULL,
    job_id   uuid NOT NULL,
    -- What a newer job would supersede it for, such as an entity.
    replaces text NOT NULL,
    PRIMARY KEY (thing, job_id)
);
ALTER TABLE turn_queue ENABLE ROW LEVEL SECURITY;
CREATE POLICY seen ON turn_queue USING ((SELECT sees_all()));
