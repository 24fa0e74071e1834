DROP TABLE custom_domains;
ALTER TABLE dns_records DROP CONSTRAINT dns_records_of_platform;
