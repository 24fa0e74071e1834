-- What is not to be believed any more, for every process of iam to tell the gateways that watch it. Kept for an hour.
CREATE TABLE revocations (
    number  bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    key_id  uuid,
    subject text,
    -- By the clock of the database, which all processes share.
    at      timestamptz NOT NULL DEFAULT clock_timestamp(),
    CONSTRAINT revocations_of_one CHECK ((key_id IS NULL) <> (subject IS NULL))
);
