-- Keeps one claim per host name: the active one, else the oldest.
DELETE FROM custom_domains WHERE id IN (
    SELECT id FROM (
        SELECT id, row_number() OVER (PARTITION BY hostname ORDER BY status = 'active' DESC, created_at, id) AS place
        FROM custom_domains) claims
    WHERE place > 1);
DROP INDEX custom_domains_lapsing, custom_domains_hostname_of_platform, custom_domains_hostname_active;
ALTER TABLE custom_domains DROP COLUMN lapses_at;
ALTER TABLE custom_domains ADD CONSTRAINT custom_domains_hostname UNIQUE (hostname);
