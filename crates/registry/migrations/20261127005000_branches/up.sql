-- Whether a row is of a branch is looked up in a table of hashes, which is made of it once for a statement, if it is asked at
-- all. An array would be gone through for each row: of a branch of ten thousand, fifty million comparisons.
ALTER POLICY seen ON entities
    USING ((SELECT sees_all()) OR platform_id = ANY ((SELECT seen_platforms())::text[])
        OR id IN (SELECT unnest(branch(seen_entities()))));
ALTER POLICY seen ON stacks
    USING ((SELECT sees_all()) OR platform_id = ANY ((SELECT seen_platforms())::text[])
        OR tenant_id IN (SELECT unnest(branch(seen_entities()))));
ALTER POLICY seen ON resources
    USING ((SELECT sees_all()) OR platform_id = ANY ((SELECT seen_platforms())::text[])
        OR entity_id IN (SELECT unnest(branch(seen_entities()))));
ALTER POLICY seen ON feature_activations
    USING ((SELECT sees_all()) OR platform_id = ANY ((SELECT seen_platforms())::text[])
        OR entity_id IN (SELECT unnest(branch(seen_entities()))));
ALTER POLICY seen ON manifests
    USING ((SELECT sees_all()) OR platform_id = ANY ((SELECT seen_platforms())::text[])
        OR entity_id IN (SELECT unnest(branch(seen_entities()))));
ALTER POLICY seen ON secrets
    USING ((SELECT sees_all()) OR platform_id = ANY ((SELECT seen_platforms())::text[])
        OR resource_id IN (SELECT unnest(branch_resources(seen_entities()))));
ALTER POLICY seen ON dns_records
    USING ((SELECT sees_all()) OR platform_id = ANY ((SELECT seen_platforms())::text[])
        OR resource_id IN (SELECT unnest(branch_resources(seen_entities()))));
ALTER POLICY seen ON custom_domains
    USING ((SELECT sees_all()) OR platform_id = ANY ((SELECT seen_platforms())::text[])
        OR dns_record_id IN (SELECT unnest(branch_dns_records(seen_entities()))));
ALTER POLICY seen ON stack_features
    USING ((SELECT sees_all()) OR platform_id = ANY ((SELECT seen_platforms())::text[])
        OR stack_id IN (SELECT unnest(branch_stacks(seen_entities()))));
ALTER POLICY seen ON counters
    USING ((SELECT sees_all() OR is_writing()) OR split_part(key, ':', 2) = ANY ((SELECT seen_platforms())::text[])
        OR split_part(key, ':', 3) IN (SELECT unnest(branch(seen_entities()))));
