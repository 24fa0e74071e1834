-- Target of the foreign key from a domain to its record.
ALTER TABLE dns_records ADD CONSTRAINT dns_records_of_platform UNIQUE (platform_id, id);

-- Host names of customers. Deletion removes the row and frees the name; the audit log keeps the domain.
CREATE TABLE custom_domains (
    id             uuid        PRIMARY KEY,
    platform_id    text        NOT NULL REFERENCES platforms (id),
    dns_record_id  uuid        NOT NULL,
    hostname       text        NOT NULL,
    target_dns     text        NOT NULL,
    cf_hostname_id text,
    -- Status as named by the provider.
    ssl_status     text        NOT NULL,
    status         text        NOT NULL CHECK (status IN ('pending', 'active', 'failed')),
    verified_at    timestamptz,
    created_at     timestamptz NOT NULL,
    updated_at     timestamptz NOT NULL,
    -- Time of the next check while the domain is pending.
    due_at         timestamptz,
    checked_at     timestamptz,
    -- Reason why the last check failed.
    check_error    text,
    CONSTRAINT custom_domains_hostname UNIQUE (hostname),
    CONSTRAINT custom_domains_dns_record FOREIGN KEY (platform_id, dns_record_id) REFERENCES dns_records (platform_id, id),
    CONSTRAINT custom_domains_due CHECK ((status = 'pending') = (due_at IS NOT NULL)),
    CONSTRAINT custom_domains_verified CHECK (status <> 'active' OR verified_at IS NOT NULL)
);
CREATE INDEX custom_domains_newest ON custom_domains (platform_id, created_at DESC, id DESC);
CREATE INDEX custom_domains_dns_record_id ON custom_domains (platform_id, dns_record_id);
CREATE INDEX custom_domains_pending ON custom_domains (due_at, id) WHERE status = 'pending';
