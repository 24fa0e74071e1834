-- Makes lists of subtrees as cheap as lists of the whole platform.
--
-- PL/pgSQL keeps the plans of a function's statements for the whole session. PostgreSQL plans an SQL function with its
-- owner's rights at every call, and a statement that joins tables with policies as well. That took longer than reading
-- the rows.

CREATE OR REPLACE FUNCTION home_status(platform text) RETURNS text LANGUAGE plpgsql STABLE SECURITY DEFINER
    SET search_path = pg_catalog, public AS $$
BEGIN
    RETURN (SELECT p.status FROM public.platforms p WHERE p.id = platform AND p.deleted_at IS NULL AND EXISTS (
        SELECT FROM public.entities e WHERE e.id = ANY (public.seen_entities()) AND e.platform_id || '' = p.id));
END
$$;
CREATE OR REPLACE FUNCTION hold_home(platform text) RETURNS text LANGUAGE plpgsql VOLATILE SECURITY DEFINER
    SET search_path = pg_catalog, public AS $$
DECLARE
    held text;
BEGIN
    SELECT p.status INTO held FROM public.platforms p WHERE p.id = platform AND p.deleted_at IS NULL AND EXISTS (
        SELECT FROM public.entities e WHERE e.id = ANY (public.seen_entities()) AND e.platform_id || '' = p.id)
    FOR KEY SHARE OF p;
    RETURN held;
END
$$;

-- True if the caller is granted all of these entities. The two functions below read as the owner and return nothing
-- otherwise.
CREATE FUNCTION all_granted(roots text[]) RETURNS boolean LANGUAGE sql STABLE PARALLEL SAFE
    RETURN sees_all() OR roots <@ seen_entities();

-- Ids on a page of lists of several subtrees, newest first. Declared to return one row, so that the planner looks up
-- each id: with outdated statistics, it would read the whole table instead.
CREATE FUNCTION subtree_page(roots text[], lists text[], before timestamptz, before_id text, size bigint)
    RETURNS SETOF text LANGUAGE plpgsql STABLE SECURITY DEFINER ROWS 1 SET search_path = pg_catalog, public AS $$
BEGIN
    IF NOT public.all_granted(roots) THEN
        RETURN;
    END IF;
    IF cardinality(roots) = 1 AND cardinality(lists) = 1 THEN
        RETURN QUERY SELECT m.member_id FROM public.subtree_members m
            WHERE m.ancestor_id = roots[1] AND m.list = lists[1]
                AND (m.created_at, m.member_id) < (before, before_id COLLATE "C")
            ORDER BY m.created_at DESC, m.member_id DESC LIMIT size;
        RETURN;
    END IF;
    -- Nested subtrees contain the same member several times.
    RETURN QUERY SELECT page.member_id FROM (SELECT DISTINCT m.created_at, m.member_id
            FROM unnest(roots) AS root (id), unnest(lists) AS list (name), LATERAL (
                SELECT s.created_at, s.member_id FROM public.subtree_members s
                WHERE s.ancestor_id = root.id AND s.list = list.name
                    AND (s.created_at, s.member_id) < (before, before_id COLLATE "C")
                ORDER BY s.created_at DESC, s.member_id DESC LIMIT size) AS m
            ORDER BY m.created_at DESC, m.member_id DESC LIMIT size) AS page;
END
$$;

-- Number of members in a list of several subtrees; nested ones count once. `counter` is the key of the counter of
-- descendants, without the entity's id. The roots themselves count if their type is in `own`.
CREATE FUNCTION subtree_total(roots text[], counter text, own text[])
    RETURNS bigint LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, public AS $$
BEGIN
    IF NOT public.all_granted(roots) THEN
        RETURN 0;
    END IF;
    -- Ordered and limited, so that the planner uses the primary key.
    RETURN (SELECT coalesce(sum((root.type = ANY (own))::int + CASE WHEN counter IS NULL THEN 0 ELSE (
            SELECT coalesce(sum(shard.n), 0) FROM (SELECT c.n FROM public.counters c WHERE c.key = counter || root.id
                ORDER BY c.shard LIMIT 64) AS shard) END), 0)::bigint
        FROM public.entities root WHERE root.id = ANY (roots) AND root.deleted_at IS NULL AND NOT root.path && roots);
END
$$;
