-- The tree of tenants inside a platform.
CREATE TABLE entities (
    id          text        PRIMARY KEY,
    platform_id text        NOT NULL REFERENCES platforms (id),
    parent_id   text,
    type        text        NOT NULL CHECK (type IN ('tenant', 'subtenant')),
    name        text        NOT NULL,
    slug        text        NOT NULL,
    status      text        NOT NULL CHECK (status IN ('active', 'suspended', 'deleted')),
    created_at  timestamptz NOT NULL,
    updated_at  timestamptz NOT NULL,
    deleted_at  timestamptz,
    -- Level in the tree, starting at 1 for tenants.
    depth       integer     NOT NULL CHECK (depth BETWEEN 1 AND 16),
    -- Ids of the ancestors, root first. A parent never changes, so neither does the path.
    path        text[]      NOT NULL,
    CONSTRAINT entities_of_platform UNIQUE (platform_id, id),
    CONSTRAINT entities_parent FOREIGN KEY (platform_id, parent_id) REFERENCES entities (platform_id, id),
    CONSTRAINT entities_tree CHECK ((type = 'tenant') = (parent_id IS NULL) AND cardinality(path) = depth - 1),
    CONSTRAINT entities_deleted_at CHECK ((status = 'deleted') = (deleted_at IS NOT NULL))
);
CREATE UNIQUE INDEX entities_slug_live ON entities (platform_id, slug) WHERE deleted_at IS NULL;
CREATE INDEX entities_newest ON entities (platform_id, created_at DESC, id DESC) WHERE deleted_at IS NULL;
CREATE INDEX entities_newest_by_type ON entities (platform_id, type, created_at DESC, id DESC) WHERE deleted_at IS NULL;
CREATE INDEX entities_children ON entities (platform_id, parent_id) WHERE deleted_at IS NULL;
CREATE INDEX entities_descendants ON entities USING gin (path) WHERE deleted_at IS NULL;
