-- Who asks how much a template is in use asks by template and version.
CREATE INDEX stacks_template ON stacks (template_id, template_version, platform_id) WHERE template_id IS NOT NULL;
