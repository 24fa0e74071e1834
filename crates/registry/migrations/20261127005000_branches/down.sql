ALTER POLICY seen ON entities
    USING ((SELECT sees_all()) OR platform_id = ANY ((SELECT seen_platforms())::text[])
        OR id = ANY ((SELECT branch(seen_entities()))::text[]));
ALTER POLICY seen ON stacks
    USING ((SELECT sees_all()) OR platform_id = ANY ((SELECT seen_platforms())::text[])
        OR tenant_id = ANY ((SELECT branch(seen_entities()))::text[]));
ALTER POLICY seen ON resources
    USING ((SELECT sees_all()) OR platform_id = ANY ((SELECT seen_platforms())::text[])
        OR entity_id = ANY ((SELECT branch(seen_entities()))::text[]));
ALTER POLICY seen ON feature_activations
    USING ((SELECT sees_all()) OR platform_id = ANY ((SELECT seen_platforms())::text[])
        OR entity_id = ANY ((SELECT branch(seen_entities()))::text[]));
ALTER POLICY seen ON manifests
    USING ((SELECT sees_all()) OR platform_id = ANY ((SELECT seen_platforms())::text[])
        OR entity_id = ANY ((SELECT branch(seen_entities()))::text[]));
ALTER POLICY seen ON secrets
    USING ((SELECT sees_all()) OR platform_id = ANY ((SELECT seen_platforms())::text[])
        OR resource_id = ANY ((SELECT branch_resources(seen_entities()))::uuid[]));
ALTER POLICY seen ON dns_records
    USING ((SELECT sees_all()) OR platform_id = ANY ((SELECT seen_platforms())::text[])
        OR resource_id = ANY ((SELECT branch_resources(seen_entities()))::uuid[]));
ALTER POLICY seen ON custom_domains
    USING ((SELECT sees_all()) OR platform_id = ANY ((SELECT seen_platforms())::text[])
        OR dns_record_id = ANY ((SELECT branch_dns_records(seen_entities()))::uuid[]));
ALTER POLICY seen ON stack_features
    USING ((SELECT sees_all()) OR platform_id = ANY ((SELECT seen_platforms())::text[])
        OR stack_id = ANY ((SELECT branch_stacks(seen_entities()))::text[]));
ALTER POLICY seen ON counters
    USING ((SELECT sees_all() OR is_writing()) OR split_part(key, ':', 2) = ANY ((SELECT seen_platforms())::text[])
        OR split_part(key, ':', 3) = ANY ((SELECT branch(seen_entities()))::text[]));

CREATE OR REPLACE FUNCTION home_status(platform text) RETURNS text LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path = pg_catalog, public AS $$
    SELECT p.status FROM public.platforms p WHERE p.id = platform AND p.deleted_at IS NULL AND EXISTS (
        SELECT FROM public.entities e WHERE e.id = ANY (public.seen_entities()) AND e.platform_id = p.id)
$$;
CREATE OR REPLACE FUNCTION hold_home(platform text) RETURNS text LANGUAGE sql VOLATILE SECURITY DEFINER
    SET search_path = pg_catalog, public AS $$
    SELECT p.status FROM public.platforms p WHERE p.id = platform AND p.deleted_at IS NULL AND EXISTS (
        SELECT FROM public.entities e WHERE e.id = ANY (public.seen_entities()) AND e.platform_id = p.id)
    FOR KEY SHARE OF p
$$;

DROP INDEX resources_newest_by_entity, stacks_newest_by_tenant, dns_records_resource_id, custom_domains_dns_record_id;
CREATE INDEX resources_newest_by_entity ON resources (platform_id, entity_id, created_at DESC, id DESC)
    WHERE deleted_at IS NULL;
CREATE INDEX stacks_newest_by_tenant ON stacks (platform_id, tenant_id, created_at DESC, id DESC)
    WHERE deleted_at IS NULL;
CREATE INDEX dns_records_resource_id ON dns_records (platform_id, resource_id);
CREATE INDEX custom_domains_dns_record_id ON custom_domains (platform_id, dns_record_id);
CREATE OR REPLACE FUNCTION branch_dns_records(roots text[]) RETURNS uuid[] LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path = pg_catalog, public
    RETURN (SELECT coalesce(array_agg(d.id), '{}') FROM public.resources r
        JOIN public.dns_records d ON d.platform_id = r.platform_id AND d.resource_id = r.id
        WHERE r.entity_id = ANY ((SELECT public.branch(roots))::text[]));
