-- Revocations, which every process of iam sends to the gateways that watch it. Rows are deleted after an hour.
CREATE TABLE revocations (
    number  bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    key_id  uuid,
    subject text,
    -- The clock of the database, which all processes share.
    at      timestamptz NOT NULL DEFAULT clock_timestamp(),
    CONSTRAINT revocations_of_one CHECK ((key_id IS NULL) <> (subject IS NULL))
);
