-- The second wall: whatever statement is sent, a caller sees the rows of their platforms and entities alone.
--
-- Before a statement the database is told who sends it: in nno.platforms the ids of the platforms that they see whole
-- ('*' for all), in nno.entities those of the entities that they see with what is under them, in nno.caller who they are.
-- Who was not told of sees nothing. The owner of the tables, who migrates, is not bound by policies; the role that serves
-- is. Policies ask within a SELECT, so that it is asked once for a statement and not for each row.
CREATE FUNCTION sees_all() RETURNS boolean LANGUAGE sql STABLE PARALLEL SAFE
    RETURN coalesce(current_setting('nno.platforms', true) = '*', false);
CREATE FUNCTION seen_platforms() RETURNS text[] LANGUAGE sql STABLE PARALLEL SAFE
    RETURN string_to_array(coalesce(current_setting('nno.platforms', true), ''), ',');
CREATE FUNCTION seen_entities() RETURNS text[] LANGUAGE sql STABLE PARALLEL SAFE
    RETURN string_to_array(coalesce(current_setting('nno.entities', true), ''), ',');
CREATE FUNCTION seeing_caller() RETURNS text LANGUAGE sql STABLE PARALLEL SAFE
    RETURN current_setting('nno.caller', true);
-- Whether this is a transaction that writes: it keeps its record also where it may not read it.
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

-- The key of a counter names its list, and after a colon the platform. Those of lists of all platforms are counted up by
-- everyone who writes, and read by who sees all.
ALTER TABLE counters ENABLE ROW LEVEL SECURITY;
CREATE POLICY seen ON counters
    USING ((SELECT sees_all() OR is_writing()) OR split_part(key, ':', 2) = ANY ((SELECT seen_platforms())::text[]));
