-- What a domain's key to its record refers to.
ALTER TABLE dns_records ADD CONSTRAINT dns_records_of_platform UNIQUE (platform_id, id);

-- Customers' own host names. One that is deleted is gone: its name is free, and the audit log has it.
CREATE TABLE custom_domains (
    id             uuid        PRIMARY KEY,
    platform_id    text        NOT NULL REFERENCES platforms (id),
    dns_record_id  uuid        NOT NULL,
    hostname       text        NOT NULL,
    target_dns     text        NOT NULL,
    cf_hostname_id text,
    -- In the provider's words.
    ssl_status     text        NOT NULL,
    status         text        NOT NULL CHECK (status IN ('pending', 'active', 'failed')),
    verified_at    timestamptz,
    created_at     timestamptz NOT NULL,
    updated_at     timestamptz NOT NULL,
    -- When it is to be checked next; a domain is checked as long as it is pending.
    due_at         timestamptz,
    checked_at     timestamptz,
    -- Why it did not lead to its target at the last check.
    check_error    text,
    CONSTRAINT custom_domains_hostname UNIQUE (hostname),
    CONSTRAINT custom_domains_dns_record FOREIGN KEY (platform_id, dns_record_id) REFERENCES dns_records (platform_id, id),
    CONSTRAINT custom_domains_due CHECK ((status = 'pending') = (due_at IS NOT NULL)),
    CONSTRAINT custom_domains_verified CHECK (status <> 'active' OR verified_at IS NOT NULL)
);
CREATE INDEX custom_domains_newest ON custom_domains (platform_id, created_at DESC, id DESC);
CREATE INDEX custom_domains_dns_record_id ON custom_domains (platform_id, dns_record_id);
CREATE INDEX custom_domains_pending ON custom_domains (due_at, id) WHERE status = 'pending';
