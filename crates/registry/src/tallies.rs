//! The lists whose totals come from counters, for the worker that counts them again.

use database::Tally;

pub(crate) const ALL: [Tally; 8] = [
    Tally {
        name: "platforms",
        sql: "SELECT parent, 'platforms' AS key, (SELECT count(*) FROM platforms WHERE deleted_at IS NULL) AS found \
              FROM (VALUES ('all')) AS whole (parent) WHERE parent > $1 LIMIT $2",
    },
    Tally {
        name: "lifecycle",
        sql: "SELECT p.id AS parent, 'lifecycle:' || p.id AS key, \
                  (SELECT count(*) FROM lifecycle_events e WHERE e.platform_id = p.id) AS found \
              FROM (SELECT id FROM platforms WHERE id > $1 ORDER BY id LIMIT $2) p",
    },
    Tally {
        name: "entities",
        sql: "SELECT p.id AS parent, 'entities:' || p.id || coalesce(':' || kind, '') AS key, \
                  (SELECT count(*) FROM entities e WHERE e.platform_id = p.id AND e.deleted_at IS NULL \
                       AND (kind IS NULL OR e.type = kind)) AS found \
              FROM (SELECT id FROM platforms WHERE id > $1 ORDER BY id LIMIT $2) p, \
                  (VALUES (NULL), ('tenant'), ('subtenant')) AS kinds (kind)",
    },
    // What belongs to a platform as a whole is told by the platform's own id in place of an entity's.
    Tally {
        name: "resources",
        sql: "SELECT p.id AS parent, 'resources:' || p.id || coalesce(':' || entity, '') AS key, \
                  (SELECT count(*) FROM resources r WHERE r.platform_id = p.id AND r.deleted_at IS NULL \
                       AND (entity IS NULL OR r.entity_id = entity)) AS found \
              FROM (SELECT id FROM platforms WHERE id > $1 ORDER BY id LIMIT $2) p, \
                  LATERAL (VALUES (NULL), (p.id)) AS owners (entity)",
    },
    Tally {
        name: "resources of an entity",
        sql: "SELECT e.id AS parent, 'resources:' || e.platform_id || ':' || e.id AS key, \
                  (SELECT count(*) FROM resources r WHERE r.platform_id = e.platform_id AND r.deleted_at IS NULL \
                       AND r.entity_id = e.id) AS found \
              FROM (SELECT id, platform_id FROM entities WHERE id > $1 ORDER BY id LIMIT $2) e",
    },
    Tally {
        name: "entities under an entity",
        sql: "SELECT e.id AS parent, 'entities_under:' || e.platform_id || ':' || e.id AS key, \
                  (SELECT count(*) FROM subtree_members m WHERE m.ancestor_id = e.id AND m.list = 'subtenant' \
                       AND m.member_id <> e.id) AS found \
              FROM (SELECT id, platform_id FROM entities WHERE id > $1 ORDER BY id LIMIT $2) e",
    },
    Tally {
        name: "resources under an entity",
        sql: "SELECT e.id AS parent, 'resources_under:' || e.platform_id || ':' || e.id AS key, \
                  (SELECT count(*) FROM subtree_members m WHERE m.ancestor_id = e.id AND m.list = 'resource') AS found \
              FROM (SELECT id, platform_id FROM entities WHERE id > $1 ORDER BY id LIMIT $2) e",
    },
    Tally {
        name: "features",
        sql: "SELECT e.id AS parent, 'features:' || e.platform_id || ':' || e.id AS key, \
                  (SELECT count(*) FROM feature_activations a WHERE a.entity_id = e.id) AS found \
              FROM (SELECT id, platform_id FROM entities WHERE id > $1 ORDER BY id LIMIT $2) e",
    },
];
