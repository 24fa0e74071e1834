-- Queries for the use of a template select by template and version.
CREATE INDEX stacks_template ON stacks (template_id, template_version, platform_id) WHERE template_id IS NOT NULL;
