DROP TABLE stack_templates;
