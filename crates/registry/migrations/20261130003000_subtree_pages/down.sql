DROP FUNCTION subtree_total(text[], text, text[]), subtree_page(text[], text[], timestamptz, text, bigint), all_granted(text[]);
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
