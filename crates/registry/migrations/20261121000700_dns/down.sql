DROP TABLE dns_records;
