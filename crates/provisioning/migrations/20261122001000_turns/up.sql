-- Locks on objects that only one job may change at a time, each with the job that holds it or held it last.
CREATE TABLE turns (
    thing  text PRIMARY KEY,
    job_id uuid NOT NULL
);
