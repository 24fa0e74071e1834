CREATE TABLE ${plural} (
    id          uuid        PRIMARY KEY,
    platform_id text        NOT NULL REFERENCES platforms (id),
    title       text        NOT NULL,
    body        text,
    created_at  timestamptz NOT NULL,
    updated_at  timestamptz NOT NULL,
    CONSTRAINT ${plural}_title UNIQUE (platform_id, title)
);
-- The order of the list.
CREATE INDEX ${plural}_newest ON ${plural} (platform_id, created_at DESC, id DESC);

-- No statement reads or changes the rows of a platform that its caller cannot see.
ALTER TABLE ${plural} ENABLE ROW LEVEL SECURITY;
CREATE POLICY seen ON ${plural}
    USING ((SELECT sees_all()) OR platform_id = ANY ((SELECT seen_platforms())::text[]));
