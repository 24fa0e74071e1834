DROP INDEX audit_log_by_action;
DROP INDEX audit_log_by_actor;
DROP INDEX audit_log_by_entity;
DROP INDEX audit_log_by_platform_type;
DROP INDEX audit_log_by_platform_action;
