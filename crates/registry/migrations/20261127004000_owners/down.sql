DROP INDEX platforms_of_owner;
