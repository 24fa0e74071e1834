-- Row-level security for all platform data; see the shared migration of the same name.

-- Ids of entities and their descendants. Runs as the owner, because policies would keep PostgreSQL from using the array
-- index. It reveals only ids.
CREATE FUNCTION branch(roots text[]) RETURNS text[] LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path = pg_catalog, public
    RETURN (SELECT coalesce(array_agg(id), '{}') FROM public.entities
        WHERE (id = ANY (roots) OR path && roots) AND deleted_at IS NULL);

-- Ids of the objects that belong to those entities.
CREATE INDEX resources_of_entity ON resources (entity_id);
CREATE FUNCTION branch_resources(roots text[]) RETURNS uuid[] LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path = pg_catalog, public
    RETURN (SELECT coalesce(array_agg(r.id), '{}') FROM public.resources r
        WHERE r.entity_id = ANY ((SELECT public.branch(roots))::text[]));
CREATE FUNCTION branch_dns_records(roots text[]) RETURNS uuid[] LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path = pg_catalog, public
    RETURN (SELECT coalesce(array_agg(d.id), '{}') FROM public.resources r
        JOIN public.dns_records d ON d.platform_id = r.platform_id AND d.resource_id = r.id
        WHERE r.entity_id = ANY ((SELECT public.branch(roots))::text[]));
CREATE FUNCTION branch_stacks(roots text[]) RETURNS text[] LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path = pg_catalog, public
    RETURN (SELECT coalesce(array_agg(s.id), '{}') FROM public.stacks s
        WHERE s.tenant_id = ANY ((SELECT public.branch(roots))::text[]) AND s.deleted_at IS NULL);

-- Status of a platform for a caller with grants for some of its entities: used to check that it is neither deleted nor
-- suspended.
CREATE FUNCTION home_status(platform text) RETURNS text LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path = pg_catalog, public AS $$
    SELECT p.status FROM public.platforms p WHERE p.id = platform AND p.deleted_at IS NULL AND EXISTS (
        SELECT FROM public.entities e WHERE e.id = ANY (public.seen_entities()) AND e.platform_id = p.id)
$$;
-- The same status, with the platform locked against deletion until the transaction ends.
CREATE FUNCTION hold_home(platform text) RETURNS text LANGUAGE sql VOLATILE SECURITY DEFINER
    SET search_path = pg_catalog, public AS $$
    SELECT p.status FROM public.platforms p WHERE p.id = platform AND p.deleted_at IS NULL AND EXISTS (
        SELECT FROM public.entities e WHERE e.id = ANY (public.seen_entities()) AND e.platform_id = p.id)
    FOR KEY SHARE OF p
$$;
-- Median duration of activations across all platforms. It reveals nothing about a single platform.
CREATE FUNCTION activation_took_ms() RETURNS integer LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path = pg_catalog, public AS $$
    SELECT percentile_disc(0.5) WITHIN GROUP (ORDER BY took_ms) FROM (
        SELECT took_ms FROM public.feature_activations WHERE took_ms IS NOT NULL
        ORDER BY activated_at DESC LIMIT 100) newest
$$;

ALTER TABLE platforms ENABLE ROW LEVEL SECURITY;
CREATE POLICY seen ON platforms
    USING ((SELECT sees_all()) OR id = ANY ((SELECT seen_platforms())::text[]));

-- Objects of a platform as a whole.
ALTER TABLE lifecycle_events ENABLE ROW LEVEL SECURITY;
CREATE POLICY seen ON lifecycle_events
    USING ((SELECT sees_all()) OR platform_id = ANY ((SELECT seen_platforms())::text[]));
ALTER TABLE builds ENABLE ROW LEVEL SECURITY;
CREATE POLICY seen ON builds
    USING ((SELECT sees_all()) OR platform_id = ANY ((SELECT seen_platforms())::text[]));

-- Objects of an entity. The policy checks the path of a new entity, because the entity is not in its branch yet.
ALTER TABLE entities ENABLE ROW LEVEL SECURITY;
CREATE POLICY seen ON entities
    USING ((SELECT sees_all()) OR platform_id = ANY ((SELECT seen_platforms())::text[])
        OR id = ANY ((SELECT branch(seen_entities()))::text[]))
    WITH CHECK ((SELECT sees_all()) OR platform_id = ANY ((SELECT seen_platforms())::text[])
        OR id = ANY ((SELECT seen_entities())::text[]) OR path && (SELECT seen_entities())::text[]);
ALTER TABLE stacks ENABLE ROW LEVEL SECURITY;
CREATE POLICY seen ON stacks
    USING ((SELECT sees_all()) OR platform_id = ANY ((SELECT seen_platforms())::text[])
        OR tenant_id = ANY ((SELECT branch(seen_entities()))::text[]));
ALTER TABLE resources ENABLE ROW LEVEL SECURITY;
CREATE POLICY seen ON resources
    USING ((SELECT sees_all()) OR platform_id = ANY ((SELECT seen_platforms())::text[])
        OR entity_id = ANY ((SELECT branch(seen_entities()))::text[]));
ALTER TABLE feature_activations ENABLE ROW LEVEL SECURITY;
CREATE POLICY seen ON feature_activations
    USING ((SELECT sees_all()) OR platform_id = ANY ((SELECT seen_platforms())::text[])
        OR entity_id = ANY ((SELECT branch(seen_entities()))::text[]));
ALTER TABLE manifests ENABLE ROW LEVEL SECURITY;
CREATE POLICY seen ON manifests
    USING ((SELECT sees_all()) OR platform_id = ANY ((SELECT seen_platforms())::text[])
        OR entity_id = ANY ((SELECT branch(seen_entities()))::text[]));

-- Objects that are visible together with their parent.
ALTER TABLE secrets ENABLE ROW LEVEL SECURITY;
CREATE POLICY seen ON secrets
    USING ((SELECT sees_all()) OR platform_id = ANY ((SELECT seen_platforms())::text[])
        OR resource_id = ANY ((SELECT branch_resources(seen_entities()))::uuid[]));
ALTER TABLE dns_records ENABLE ROW LEVEL SECURITY;
CREATE POLICY seen ON dns_records
    USING ((SELECT sees_all()) OR platform_id = ANY ((SELECT seen_platforms())::text[])
        OR resource_id = ANY ((SELECT branch_resources(seen_entities()))::uuid[]));
ALTER TABLE custom_domains ENABLE ROW LEVEL SECURITY;
CREATE POLICY seen ON custom_domains
    USING ((SELECT sees_all()) OR platform_id = ANY ((SELECT seen_platforms())::text[])
        OR dns_record_id = ANY ((SELECT branch_dns_records(seen_entities()))::uuid[]));
ALTER TABLE stack_features ENABLE ROW LEVEL SECURITY;
CREATE POLICY seen ON stack_features
    USING ((SELECT sees_all()) OR platform_id = ANY ((SELECT seen_platforms())::text[])
        OR stack_id = ANY ((SELECT branch_stacks(seen_entities()))::text[]));

-- Includes the platform in the key of an entity's feature counter, as in the keys of all other lists.
UPDATE counters SET key = 'features:' || e.platform_id || ':' || e.id
FROM entities e WHERE counters.key = 'features:' || e.id;
DROP POLICY seen ON counters;
CREATE POLICY seen ON counters
    USING ((SELECT sees_all() OR is_writing()) OR split_part(key, ':', 2) = ANY ((SELECT seen_platforms())::text[])
        OR split_part(key, ':', 3) = ANY ((SELECT branch(seen_entities()))::text[]));
