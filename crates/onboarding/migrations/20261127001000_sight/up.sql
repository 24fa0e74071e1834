-- Row-level security: an onboarding is visible to its owner and to callers with access to everything.
ALTER TABLE sessions ENABLE ROW LEVEL SECURITY;
CREATE POLICY own ON sessions USING ((SELECT sees_all()) OR user_id = (SELECT seeing_caller()));

-- Its saga and steps are visible with it. A new saga is inserted before its session.
ALTER TABLE sagas ENABLE ROW LEVEL SECURITY;
CREATE POLICY own ON sagas
    USING ((SELECT sees_all()) OR flow = (SELECT seeing_caller()));
ALTER TABLE saga_steps ENABLE ROW LEVEL SECURITY;
CREATE POLICY own ON saga_steps
    USING ((SELECT sees_all()) OR EXISTS (SELECT FROM sagas s WHERE s.id = saga_steps.saga_id));
CREATE POLICY begun ON saga_steps FOR INSERT WITH CHECK ((SELECT is_writing()));
