DROP INDEX stacks_template;
