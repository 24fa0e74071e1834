-- The manifest of an entity that runs five features: what `GET /platforms/{id}/entities/{id}/manifest` asks of someone
-- who has not seen it. Every tenth platform has such an entity, whose id is the platform's.
\set id 1000000000 + 10 * random(0, :rows / 10 - 1)
SELECT e.created_at, m.etag, m.changed_at, a.feature_id, a.live_version, a.live_package, a.service_url FROM platforms p JOIN entities e ON e.platform_id = p.id LEFT JOIN manifests m ON m.entity_id = e.id AND m.environment = 'prod' LEFT JOIN feature_activations a ON a.entity_id = m.entity_id AND a.environment = m.environment AND a.live_version IS NOT NULL AND strpos('', m.etag) = 0 WHERE p.deleted_at IS NULL AND e.deleted_at IS NULL AND p.id = :id AND e.id = :id ORDER BY a.feature_id;
