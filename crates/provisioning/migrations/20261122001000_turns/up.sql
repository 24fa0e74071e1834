-- Which job works, or worked last, on a thing that only one may work on at a time.
CREATE TABLE turns (
    thing  text PRIMARY KEY,
    job_id uuid NOT NULL
);
