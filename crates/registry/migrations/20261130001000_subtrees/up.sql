-- Makes reads of callers whose grants cover an entity and its descendants as cheap as reads of the whole platform.
--
-- Before, the scope filter and the policies each computed the caller's whole subtree in every statement. Now both check
-- if one of the few ancestors of a row is granted, and lists of a subtree come from a closure table in list order.

-- Members of each subtree: for every entity, itself and its descendants, per list. Triggers maintain it, so that no
-- statement can forget to. `branch` and its like stay until no process of the previous version runs.
CREATE TABLE subtree_members (
    ancestor_id text        NOT NULL,
    -- tenant, subtenant, resource, stack, custom_domain, or dns_record:<stack id>.
    list        text        NOT NULL,
    created_at  timestamptz NOT NULL,
    member_id   text        COLLATE "C" NOT NULL,
    platform_id text        NOT NULL,
    -- Level in the tree; only for entities.
    depth       integer,
    PRIMARY KEY (ancestor_id, list, created_at, member_id)
);
CREATE INDEX subtree_members_by_depth ON subtree_members (ancestor_id, depth, created_at, member_id) WHERE depth IS NOT NULL;
CREATE INDEX subtree_members_member ON subtree_members (member_id, list);

-- Ids of an entity and its ancestors; empty for the id of the platform itself.
CREATE FUNCTION entity_line(entity text) RETURNS text[] LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path = pg_catalog, public
    RETURN (SELECT path || id FROM public.entities WHERE id = entity);

CREATE FUNCTION put_members(line text[], of_list text, at timestamptz, member text, platform text, level integer)
    RETURNS void LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, public AS $$
    INSERT INTO public.subtree_members (ancestor_id, list, created_at, member_id, platform_id, depth)
    SELECT ancestor, of_list, at, member, platform, level FROM unnest(line) AS ancestor ORDER BY ancestor
$$;
CREATE FUNCTION drop_members(of_list text, member text)
    RETURNS void LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, public AS $$
    DELETE FROM public.subtree_members WHERE member_id = member AND list = of_list
$$;

CREATE FUNCTION keep_entity_members() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, public AS $$
BEGIN
    IF TG_OP <> 'INSERT' THEN
        PERFORM public.drop_members(OLD.type, OLD.id);
    END IF;
    IF TG_OP <> 'DELETE' AND NEW.deleted_at IS NULL THEN
        PERFORM public.put_members(NEW.path || NEW.id, NEW.type, NEW.created_at, NEW.id, NEW.platform_id, NEW.depth);
    END IF;
    RETURN NULL;
END
$$;
CREATE TRIGGER keep_members AFTER INSERT OR DELETE ON entities
    FOR EACH ROW EXECUTE FUNCTION keep_entity_members();
CREATE TRIGGER keep_members_changed AFTER UPDATE ON entities
    FOR EACH ROW WHEN (OLD.deleted_at IS DISTINCT FROM NEW.deleted_at) EXECUTE FUNCTION keep_entity_members();

CREATE FUNCTION keep_stack_members() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, public AS $$
BEGIN
    IF TG_OP <> 'INSERT' THEN
        PERFORM public.drop_members('stack', OLD.id);
    END IF;
    IF TG_OP <> 'DELETE' AND NEW.deleted_at IS NULL THEN
        PERFORM public.put_members(
            public.entity_line(NEW.tenant_id), 'stack', NEW.created_at, NEW.id, NEW.platform_id, NULL);
    END IF;
    RETURN NULL;
END
$$;
CREATE TRIGGER keep_members AFTER INSERT OR DELETE ON stacks
    FOR EACH ROW EXECUTE FUNCTION keep_stack_members();
CREATE TRIGGER keep_members_changed AFTER UPDATE ON stacks
    FOR EACH ROW WHEN (OLD.deleted_at IS DISTINCT FROM NEW.deleted_at OR OLD.tenant_id IS DISTINCT FROM NEW.tenant_id)
    EXECUTE FUNCTION keep_stack_members();

CREATE FUNCTION keep_custom_domain_members() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, public AS $$
BEGIN
    IF TG_OP <> 'INSERT' THEN
        PERFORM public.drop_members('custom_domain', OLD.id::text);
    END IF;
    IF TG_OP <> 'DELETE' THEN
        PERFORM public.put_members(public.entity_line(r.entity_id), 'custom_domain', NEW.created_at, NEW.id::text,
            NEW.platform_id, NULL)
        FROM public.dns_records d JOIN public.resources r ON r.id = d.resource_id WHERE d.id = NEW.dns_record_id;
    END IF;
    RETURN NULL;
END
$$;
CREATE TRIGGER keep_members AFTER INSERT OR DELETE ON custom_domains
    FOR EACH ROW EXECUTE FUNCTION keep_custom_domain_members();
CREATE TRIGGER keep_members_changed AFTER UPDATE ON custom_domains
    FOR EACH ROW WHEN (OLD.dns_record_id IS DISTINCT FROM NEW.dns_record_id)
    EXECUTE FUNCTION keep_custom_domain_members();

CREATE FUNCTION keep_dns_record_members() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, public AS $$
DECLARE
    line text[];
BEGIN
    IF TG_OP <> 'INSERT' THEN
        PERFORM public.drop_members('dns_record:' || OLD.stack_id, OLD.id::text);
    END IF;
    IF TG_OP <> 'DELETE' THEN
        SELECT public.entity_line(r.entity_id) INTO line FROM public.resources r WHERE r.id = NEW.resource_id;
        PERFORM public.put_members(line, 'dns_record:' || NEW.stack_id, NEW.created_at, NEW.id::text, NEW.platform_id, NULL);
        IF TG_OP = 'UPDATE' THEN
            PERFORM public.drop_members('custom_domain', c.id::text),
                public.put_members(line, 'custom_domain', c.created_at, c.id::text, c.platform_id, NULL)
            FROM public.custom_domains c WHERE c.dns_record_id = NEW.id;
        END IF;
    END IF;
    RETURN NULL;
END
$$;
CREATE TRIGGER keep_members AFTER INSERT OR DELETE ON dns_records
    FOR EACH ROW EXECUTE FUNCTION keep_dns_record_members();
CREATE TRIGGER keep_members_changed AFTER UPDATE ON dns_records
    FOR EACH ROW WHEN (OLD.resource_id IS DISTINCT FROM NEW.resource_id OR OLD.stack_id IS DISTINCT FROM NEW.stack_id)
    EXECUTE FUNCTION keep_dns_record_members();

-- Objects of a resource move with it from one entity to another.
CREATE FUNCTION keep_resource_members() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, public AS $$
DECLARE
    line text[];
BEGIN
    IF TG_OP <> 'INSERT' THEN
        PERFORM public.drop_members('resource', OLD.id::text);
    END IF;
    IF TG_OP <> 'DELETE' THEN
        line := public.entity_line(NEW.entity_id);
        IF NEW.deleted_at IS NULL THEN
            PERFORM public.put_members(line, 'resource', NEW.created_at, NEW.id::text, NEW.platform_id, NULL);
        END IF;
        IF TG_OP = 'UPDATE' AND OLD.entity_id <> NEW.entity_id THEN
            PERFORM public.drop_members('dns_record:' || d.stack_id, d.id::text),
                public.put_members(line, 'dns_record:' || d.stack_id, d.created_at, d.id::text, d.platform_id, NULL)
            FROM public.dns_records d WHERE d.resource_id = NEW.id;
            PERFORM public.drop_members('custom_domain', c.id::text),
                public.put_members(line, 'custom_domain', c.created_at, c.id::text, c.platform_id, NULL)
            FROM public.custom_domains c JOIN public.dns_records d ON d.id = c.dns_record_id WHERE d.resource_id = NEW.id;
        END IF;
    END IF;
    RETURN NULL;
END
$$;
CREATE TRIGGER keep_members AFTER INSERT OR DELETE ON resources
    FOR EACH ROW EXECUTE FUNCTION keep_resource_members();
CREATE TRIGGER keep_members_changed AFTER UPDATE ON resources
    FOR EACH ROW WHEN (OLD.deleted_at IS DISTINCT FROM NEW.deleted_at OR OLD.entity_id IS DISTINCT FROM NEW.entity_id)
    EXECUTE FUNCTION keep_resource_members();

-- Fills the table from the existing rows: for rows from before this migration, and for repairs.
CREATE FUNCTION fill_subtree_members() RETURNS void LANGUAGE sql SECURITY DEFINER
    SET search_path = pg_catalog, public AS $$
    DELETE FROM public.subtree_members;
    INSERT INTO public.subtree_members (ancestor_id, list, created_at, member_id, platform_id, depth)
    SELECT ancestor, e.type, e.created_at, e.id, e.platform_id, e.depth
        FROM public.entities e, unnest(e.path || e.id) AS ancestor WHERE e.deleted_at IS NULL
    UNION ALL SELECT ancestor, 'stack', s.created_at, s.id, s.platform_id, NULL
        FROM public.stacks s JOIN public.entities e ON e.id = s.tenant_id, unnest(e.path || e.id) AS ancestor
        WHERE s.deleted_at IS NULL
    UNION ALL SELECT ancestor, 'resource', r.created_at, r.id::text, r.platform_id, NULL
        FROM public.resources r JOIN public.entities e ON e.id = r.entity_id, unnest(e.path || e.id) AS ancestor
        WHERE r.deleted_at IS NULL
    UNION ALL SELECT ancestor, 'dns_record:' || d.stack_id, d.created_at, d.id::text, d.platform_id, NULL
        FROM public.dns_records d JOIN public.resources r ON r.id = d.resource_id
        JOIN public.entities e ON e.id = r.entity_id, unnest(e.path || e.id) AS ancestor
    UNION ALL SELECT ancestor, 'custom_domain', c.created_at, c.id::text, c.platform_id, NULL
        FROM public.custom_domains c JOIN public.dns_records d ON d.id = c.dns_record_id
        JOIN public.resources r ON r.id = d.resource_id
        JOIN public.entities e ON e.id = r.entity_id, unnest(e.path || e.id) AS ancestor;
$$;
REVOKE ALL ON FUNCTION fill_subtree_members(), drop_members(text, text),
    put_members(text[], text, timestamptz, text, text, integer) FROM PUBLIC;
SELECT fill_subtree_members();

-- Totals of subtrees: the descendants of each entity, and the resources of the entity and its descendants.
INSERT INTO counters (key, shard, n)
SELECT name || platform_id || ':' || ancestor_id, 0, count(*) FROM (
    SELECT CASE list WHEN 'resource' THEN 'resources_under:' ELSE 'entities_under:' END AS name, platform_id, ancestor_id
    FROM subtree_members WHERE list IN ('resource', 'subtenant') AND member_id <> ancestor_id) AS member
GROUP BY name, platform_id, ancestor_id;

-- An entity is visible if it or one of its ancestors is granted. Objects of a visible entity are visible, and so are
-- the objects that depend on those: each EXISTS is subject to the policy of the table it reads. `OFFSET 0` keeps the
-- planner from materializing all visible rows.
ALTER POLICY seen ON entities
    USING ((SELECT sees_all()) OR platform_id = ANY ((SELECT seen_platforms())::text[])
        OR (path || id) && (SELECT seen_entities())::text[])
    WITH CHECK ((SELECT sees_all()) OR platform_id = ANY ((SELECT seen_platforms())::text[])
        OR (path || id) && (SELECT seen_entities())::text[]);
ALTER POLICY seen ON stacks
    USING ((SELECT sees_all()) OR platform_id = ANY ((SELECT seen_platforms())::text[])
        OR EXISTS (SELECT FROM entities e WHERE e.id = tenant_id AND e.deleted_at IS NULL OFFSET 0));
ALTER POLICY seen ON resources
    USING ((SELECT sees_all()) OR platform_id = ANY ((SELECT seen_platforms())::text[])
        OR EXISTS (SELECT FROM entities e WHERE e.id = entity_id AND e.deleted_at IS NULL OFFSET 0));
ALTER POLICY seen ON feature_activations
    USING ((SELECT sees_all()) OR platform_id = ANY ((SELECT seen_platforms())::text[])
        OR EXISTS (SELECT FROM entities e WHERE e.id = entity_id AND e.deleted_at IS NULL OFFSET 0));
ALTER POLICY seen ON manifests
    USING ((SELECT sees_all()) OR platform_id = ANY ((SELECT seen_platforms())::text[])
        OR EXISTS (SELECT FROM entities e WHERE e.id = entity_id AND e.deleted_at IS NULL OFFSET 0));
ALTER POLICY seen ON secrets
    USING ((SELECT sees_all()) OR platform_id = ANY ((SELECT seen_platforms())::text[])
        OR EXISTS (SELECT FROM resources r WHERE r.id = resource_id OFFSET 0));
ALTER POLICY seen ON dns_records
    USING ((SELECT sees_all()) OR platform_id = ANY ((SELECT seen_platforms())::text[])
        OR EXISTS (SELECT FROM resources r WHERE r.id = resource_id OFFSET 0));
ALTER POLICY seen ON custom_domains
    USING ((SELECT sees_all()) OR platform_id = ANY ((SELECT seen_platforms())::text[])
        OR EXISTS (SELECT FROM dns_records d WHERE d.id = dns_record_id OFFSET 0));
ALTER POLICY seen ON stack_features
    USING ((SELECT sees_all()) OR platform_id = ANY ((SELECT seen_platforms())::text[])
        OR EXISTS (SELECT FROM stacks s WHERE s.id = stack_id AND s.deleted_at IS NULL OFFSET 0));
ALTER POLICY seen ON counters
    USING ((SELECT sees_all() OR is_writing()) OR split_part(key, ':', 2) = ANY ((SELECT seen_platforms())::text[])
        OR EXISTS (SELECT FROM entities e WHERE e.id = split_part(key, ':', 3) AND e.deleted_at IS NULL OFFSET 0));
-- Only the triggers write to it, as the owner.
ALTER TABLE subtree_members ENABLE ROW LEVEL SECURITY;
CREATE POLICY seen ON subtree_members FOR SELECT
    USING ((SELECT sees_all()) OR platform_id = ANY ((SELECT seen_platforms())::text[])
        OR ancestor_id = ANY ((SELECT seen_entities())::text[])
        OR EXISTS (SELECT FROM entities e WHERE e.id = ancestor_id OFFSET 0));
