-- Row-level security: see the migration of the same name in `database`. A caller sees a grant if its own scope includes
-- the scope of the grant. Only callers with access to all platforms see grants for all platforms.
--
-- Functions that run as the owner find the grants of entities, because PostgreSQL cannot use an index on arrays under a
-- policy. The functions return only ids. They do not find a row that is being inserted, so the check of new rows
-- compares the path of the entity.
CREATE FUNCTION keys_of(roots text[]) RETURNS uuid[] LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path = pg_catalog, public
    RETURN (SELECT coalesce(array_agg(id), '{}') FROM public.keys WHERE entity_line && roots);
ALTER TABLE keys ENABLE ROW LEVEL SECURITY;
CREATE POLICY seen ON keys
    USING ((SELECT sees_all()) OR platform_id = ANY ((SELECT seen_platforms())::text[])
        OR id = ANY ((SELECT keys_of(seen_entities()))::uuid[]))
    WITH CHECK ((SELECT sees_all()) OR platform_id = ANY ((SELECT seen_platforms())::text[])
        OR entity_line && (SELECT seen_entities())::text[]);

CREATE FUNCTION bindings_of(roots text[]) RETURNS uuid[] LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path = pg_catalog, public
    RETURN (SELECT coalesce(array_agg(id), '{}') FROM public.bindings WHERE entity_line && roots);
ALTER TABLE bindings ENABLE ROW LEVEL SECURITY;
CREATE POLICY seen ON bindings
    USING ((SELECT sees_all()) OR platform_id = ANY ((SELECT seen_platforms())::text[])
        OR id = ANY ((SELECT bindings_of(seen_entities()))::uuid[]))
    WITH CHECK ((SELECT sees_all()) OR platform_id = ANY ((SELECT seen_platforms())::text[])
        OR entity_line && (SELECT seen_entities())::text[]);

-- Any caller may insert revocations in a write. Only the service itself reads those of other callers.
ALTER TABLE revocations ENABLE ROW LEVEL SECURITY;
CREATE POLICY seen ON revocations USING ((SELECT sees_all() OR is_writing()));
