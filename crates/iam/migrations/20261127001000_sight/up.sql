-- Row-level security: see kit's migration of the same name. A grant is seen by who reaches all that it reaches; one of
-- everything by who reaches everything.
--
-- Those of entities are found by functions that read as the owner: an index on arrays is of no use to who is bound by
-- policies, and all that they tell are ids. A new grant is not among them yet: what its entity is under is looked at.
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

-- Whoever revokes notes it; only the service itself reads what others have noted.
ALTER TABLE revocations ENABLE ROW LEVEL SECURITY;
CREATE POLICY seen ON revocations USING ((SELECT sees_all() OR is_writing()));
