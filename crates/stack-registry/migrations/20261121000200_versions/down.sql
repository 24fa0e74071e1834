ALTER TABLE stack_templates DROP CONSTRAINT stack_templates_latest_version;
DROP TABLE stack_versions;
DROP FUNCTION stack_versions_never_change();
