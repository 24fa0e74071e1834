DROP INDEX stack_templates_newest_by_domain;
DROP INDEX stack_templates_labels;
DROP INDEX stack_templates_words;
DROP FUNCTION stack_template_words(text, text, text);
ALTER TABLE stack_templates DROP COLUMN labels;
