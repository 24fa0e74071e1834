-- Labels of the latest version. Every statement that changes latest_version updates them.
ALTER TABLE stack_templates ADD COLUMN labels jsonb;
UPDATE stack_templates t SET labels = (v.stack_definition::jsonb) -> 'labels'
FROM stack_versions v WHERE v.template_id = t.id AND v.version = t.latest_version;

-- Search words of a template. Punctuation separates words, so that no word is parsed as an address or a path.
CREATE FUNCTION stack_template_words(name text, display_name text, description text) RETURNS tsvector
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
    RETURN to_tsvector('simple'::regconfig, translate(name || ' ' || display_name || ' ' || description,
        '!"#$%&''()*+,-./:;<=>?@[\]^_`{|}~', repeat(' ', 32)));

CREATE INDEX stack_templates_words ON stack_templates
    USING gin (stack_template_words(name, display_name, description)) WHERE status = 'active';
CREATE INDEX stack_templates_labels ON stack_templates USING gin (labels) WHERE status = 'active';
CREATE INDEX stack_templates_newest_by_domain ON stack_templates (domain, created_at DESC, id DESC)
    WHERE status = 'active' AND domain IS NOT NULL;
