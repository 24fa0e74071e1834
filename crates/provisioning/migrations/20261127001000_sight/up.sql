-- Row-level security: jobs are operators' and services' alone, whatever platform they are about.
ALTER TABLE sagas ENABLE ROW LEVEL SECURITY;
CREATE POLICY seen ON sagas USING ((SELECT sees_all()));
ALTER TABLE saga_steps ENABLE ROW LEVEL SECURITY;
CREATE POLICY seen ON saga_steps USING ((SELECT sees_all()));
ALTER TABLE turns ENABLE ROW LEVEL SECURITY;
CREATE POLICY seen ON turns USING ((SELECT sees_all()));
