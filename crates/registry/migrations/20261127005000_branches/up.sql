-- Looks up rows in a hash table of the branch, which PostgreSQL builds at most once per statement. Scanning an array
-- for each row would cost 50 million comparisons for a branch of ten thousand entities. The nested SELECT keeps the
-- planner from evaluating the branch to estimate its size.
ALTER POLICY seen ON entities
    USING ((SELECT sees_all()) OR platform_id = ANY ((SELECT seen_platforms())::text[])
        OR id IN (SELECT unnest((SELECT branch(seen_entities()))::text[])));
ALTER POLICY seen ON stacks
    USING ((SELECT sees_all()) OR platform_id = ANY ((SELECT seen_platforms())::text[])
        OR tenant_id IN (SELECT unnest((SELECT branch(seen_entities()))::text[])));
ALTER POLICY seen ON resources
    USING ((SELECT sees_all()) OR platform_id = ANY ((SELECT seen_platforms())::text[])
        OR entity_id IN (SELECT unnest((SELECT branch(seen_entities()))::text[])));
ALTER POLICY seen ON feature_activations
    USING ((SELECT sees_all()) OR platform_id = ANY ((SELECT seen_platforms())::text[])
        OR entity_id IN (SELECT unnest((SELECT branch(seen_entities()))::text[])));
ALTER POLICY seen ON manifests
    USING ((SELECT sees_all()) OR platform_id = ANY ((SELECT seen_platforms())::text[])
        OR entity_id IN (SELECT unnest((SELECT branch(seen_entities()))::text[])));
ALTER POLICY seen ON secrets
    USING ((SELECT sees_all()) OR platform_id = ANY ((SELECT seen_platforms())::text[])
        OR resource_id IN (SELECT unnest((SELECT branch_resources(seen_entities()))::uuid[])));
ALTER POLICY seen ON dns_records
    USING ((SELECT sees_all()) OR platform_id = ANY ((SELECT seen_platforms())::text[])
        OR resource_id IN (SELECT unnest((SELECT branch_resources(seen_entities()))::uuid[])));
ALTER POLICY seen ON custom_domains
    USING ((SELECT sees_all()) OR platform_id = ANY ((SELECT seen_platforms())::text[])
        OR dns_record_id IN (SELECT unnest((SELECT branch_dns_records(seen_entities()))::uuid[])));
ALTER POLICY seen ON stack_features
    USING ((SELECT sees_all()) OR platform_id = ANY ((SELECT seen_platforms())::text[])
        OR stack_id IN (SELECT unnest((SELECT branch_stacks(seen_entities()))::text[])));
ALTER POLICY seen ON counters
    USING ((SELECT sees_all() OR is_writing()) OR split_part(key, ':', 2) = ANY ((SELECT seen_platforms())::text[])
        OR split_part(key, ':', 3) IN (SELECT unnest((SELECT branch(seen_entities()))::text[])));

-- Tests the visible entities for the platform, and not the reverse: a platform has many entities.
CREATE OR REPLACE FUNCTION home_status(platform text) RETURNS text LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path = pg_catalog, public AS $$
    SELECT p.status FROM public.platforms p WHERE p.id = platform AND p.deleted_at IS NULL AND p.id = ANY (ARRAY(
        SELECT e.platform_id FROM public.entities e WHERE e.id = ANY (public.seen_entities())))
$$;
CREATE OR REPLACE FUNCTION hold_home(platform text) RETURNS text LANGUAGE sql VOLATILE SECURITY DEFINER
    SET search_path = pg_catalog, public AS $$
    SELECT p.status FROM public.platforms p WHERE p.id = platform AND p.deleted_at IS NULL AND p.id = ANY (ARRAY(
        SELECT e.platform_id FROM public.entities e WHERE e.id = ANY (public.seen_entities())))
    FOR KEY SHARE OF p
$$;

-- Finds the objects of an entity, resource or record by that id alone, which implies the platform. With an index on
-- both and one on the platform, the planner could choose the latter.
DROP INDEX resources_newest_by_entity, stacks_newest_by_tenant, dns_records_resource_id, custom_domains_dns_record_id;
CREATE INDEX resources_newest_by_entity ON resources (entity_id, created_at DESC, id DESC) WHERE deleted_at IS NULL;
CREATE INDEX stacks_newest_by_tenant ON stacks (tenant_id, created_at DESC, id DESC) WHERE deleted_at IS NULL;
CREATE INDEX dns_records_resource_id ON dns_records (resource_id);
CREATE INDEX custom_domains_dns_record_id ON custom_domains (dns_record_id);
CREATE OR REPLACE FUNCTION branch_dns_records(roots text[]) RETURNS uuid[] LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path = pg_catalog, public
    RETURN (SELECT coalesce(array_agg(d.id), '{}') FROM public.dns_records d
        WHERE d.resource_id = ANY ((SELECT public.branch_resources(roots))::uuid[]));
