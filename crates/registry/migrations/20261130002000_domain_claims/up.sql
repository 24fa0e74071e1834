-- A custom domain is a claim until it is verified. Any number of platforms may claim a host name; one may have it
-- active.
ALTER TABLE custom_domains DROP CONSTRAINT custom_domains_hostname;
CREATE UNIQUE INDEX custom_domains_hostname_active ON custom_domains (hostname) WHERE status = 'active';
-- A platform can claim a host name once. The index also finds the other claims of a name.
CREATE UNIQUE INDEX custom_domains_hostname_of_platform ON custom_domains (hostname, platform_id);

-- End of a pending claim, from the registry's setting. The default serves the previous version, which does not set it.
ALTER TABLE custom_domains ADD COLUMN lapses_at timestamptz DEFAULT now() + interval '7 days';

-- Domains that are active without proof, because neither a check nor an operator activated them, become claims.
WITH unproven AS (
    UPDATE custom_domains d SET status = 'pending', verified_at = NULL, due_at = now(), updated_at = now()
    WHERE status = 'active' AND NOT EXISTS (
        SELECT FROM audit_log a WHERE a.entity_type = 'custom_domain' AND a.entity_id = d.id::text
        AND (a.action = 'custom_domain.verified' OR a.actor_type = 'operator' AND a.after ->> 'status' = 'active'))
    RETURNING id, platform_id, hostname
)
INSERT INTO audit_log (id, platform_id, actor_id, actor_type, action, entity_type, entity_id, before, after, metadata, created_at)
SELECT gen_random_uuid(), platform_id, 'system:migration', 'system', 'custom_domain.updated', 'custom_domain', id::text,
    jsonb_build_object('hostname', hostname, 'status', 'active'), jsonb_build_object('hostname', hostname, 'status', 'pending'),
    '{}', now()
FROM unproven;

UPDATE custom_domains SET lapses_at = NULL WHERE status <> 'pending';
CREATE INDEX custom_domains_lapsing ON custom_domains (lapses_at, id) WHERE status = 'pending';
