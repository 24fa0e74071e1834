-- Second tenancy layer: whatever statement is sent, a caller sees only the rows of their platforms and entities.
--
-- Before a statement, the service sets who sends it: nno.platforms contains the ids of the platforms that the caller
-- sees as a whole ('*' for all), nno.entities the ids of the entities that the caller sees with their descendants, and
-- nno.caller the caller's name. Without these settings, no row is visible. Policies apply to the role that serves
-- requests, not to the owner of the tables, who migrates. Policies call the functions within a SELECT, so that they run
-- once per statement and not once per row.
CREATE FUNCTION sees_all() RETURNS boolean LANGUAGE sql STABLE PARALLEL SAFE
    RETURN coalesce(current_setting('nno.platforms', true) = '*', false);
CREATE FUNCTION seen_platforms() RETURNS text[] LANGUAGE sql STABLE PARALLEL SAFE
    RETURN string_to_array(coalesce(current_setting('nno.platforms', true), ''), ',');
CREATE FUNCTION seen_entities() RETURNS text[] LANGUAGE sql STABLE PARALLEL SAFE
    RETURN string_to_array(coalesce(current_setting('nno.entities', true), ''), ',');
CREATE FUNCTION seeing_caller() RETURNS text LANGUAGE sql STABLE PARALLEL SAFE
    RETURN current_setting('nno.caller', true);
-- True in a transaction that writes, which may store its record even where it may not read it.
CREATE FUNCTION is_writing() RETURNS boolean LANGUAGE sql STABLE PARALLEL SAFE
    RETURN coalesce(current_setting('nno.writing', true) = 'on', false);

ALTER TABLE audit_log ENABLE ROW LEVEL SECURITY;
CREATE POLICY seen ON audit_log FOR SELECT
    USING ((SELECT sees_all()) OR platform_id = ANY ((SELECT seen_platforms())::text[]));
CREATE POLICY kept ON audit_log FOR INSERT WITH CHECK ((SELECT sees_all() OR is_writing()));

ALTER TABLE outbox ENABLE ROW LEVEL SECURITY;
CREATE POLICY seen ON outbox USING ((SELECT sees_all()));
CREATE POLICY kept ON outbox FOR INSERT WITH CHECK ((SELECT is_writing()));

ALTER TABLE idempotency_keys ENABLE ROW LEVEL SECURITY;
CREATE POLICY own ON idempotency_keys USING ((SELECT sees_all()) OR caller = (SELECT seeing_caller()));

-- The key of a counter names its list, followed by a colon and the platform. Every writer increments the counters of
-- lists across all platforms; only callers who see everything read them.
ALTER TABLE counters ENABLE ROW LEVEL SECURITY;
CREATE POLICY seen ON counters
    USING ((SELECT sees_all() OR is_writing()) OR split_part(key, ':', 2) = ANY ((SELECT seen_platforms())::text[]));
