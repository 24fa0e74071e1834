-- Jobs that wait for a lock. Each waits for the end of the job before it, so the end of a job wakes only one other.
CREATE TABLE turn_queue (
    thing    text NOT NULL,
    job_id   uuid NOT NULL,
    -- A newer job with the same lock and the same value, such as an entity id, supersedes this one.
    replaces text NOT NULL,
    PRIMARY KEY (thing, job_id)
);
ALTER TABLE turn_queue ENABLE ROW LEVEL SECURITY;
CREATE POLICY seen ON turn_queue USING ((SELECT sees_all()));
