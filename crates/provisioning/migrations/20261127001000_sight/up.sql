-- Row-level security: only operators and services see jobs, regardless of the platform.
ALTER TABLE sagas ENABLE ROW LEVEL SECURITY;
CREATE POLICY seen ON sagas USING ((SELECT sees_all()));
ALTER TABLE saga_steps ENABLE ROW LEVEL SECURITY;
CREATE POLICY seen ON saga_steps USING ((SELECT sees_all()));
ALTER TABLE turns ENABLE ROW LEVEL SECURITY;
CREATE POLICY seen ON turns USING ((SELECT sees_all()));
