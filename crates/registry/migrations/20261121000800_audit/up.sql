-- Filters of the audit lists. Each index also provides the order of the list.
CREATE INDEX audit_log_by_platform_action ON audit_log (platform_id, action, created_at DESC, id DESC);
CREATE INDEX audit_log_by_platform_type ON audit_log (platform_id, entity_type, created_at DESC, id DESC);
CREATE INDEX audit_log_by_entity ON audit_log (entity_id, created_at DESC, id DESC);
CREATE INDEX audit_log_by_actor ON audit_log (actor_id, created_at DESC, id DESC);
CREATE INDEX audit_log_by_action ON audit_log (action, created_at DESC, id DESC);
