ALTER POLICY seen ON entities
    USING ((SELECT sees_all()) OR platform_id = ANY ((SELECT seen_platforms())::text[])
        OR id = ANY ((SELECT branch(seen_entities()))::text[]));
ALTER POLICY seen ON stacks
    USING ((SELECT sees_all()) OR platform_id = ANY ((SELECT seen_platforms())::text[])
        OR tenant_id = ANY ((SELECT branch(seen_entities()))::text[]));
ALTER POLICY seen ON resources
    USING ((SELECT sees_all()) OR platform_id = ANY ((SELECT seen_platforms())::text[])
        OR entity_id = ANY ((SELECT branch(seen_entities()))::text[]));
ALTER POLICY seen ON feature_activations
    USING ((SELECT sees_all()) OR platform_id = ANY ((SELECT seen_platforms())::text[])
        OR entity_id = ANY ((SELECT branch(seen_entities()))::text[]));
ALTER POLICY seen ON manifests
    USING ((SELECT sees_all()) OR platform_id = ANY ((SELECT seen_platforms())::text[])
        OR entity_id = ANY ((SELECT branch(seen_entities()))::text[]));
ALTER POLICY seen ON secrets
    USING ((SELECT sees_all()) OR platform_id = ANY ((SELECT seen_platforms())::text[])
        OR resource_id = ANY ((SELECT branch_resources(seen_entities()))::uuid[]));
ALTER POLICY seen ON dns_records
    USING ((SELECT sees_all()) OR platform_id = ANY ((SELECT seen_platforms())::text[])
        OR resource_id = ANY ((SELECT branch_resources(seen_entities()))::uuid[]));
ALTER POLICY seen ON custom_domains
    USING ((SELECT sees_all()) OR platform_id = ANY ((SELECT seen_platforms())::text[])
        OR dns_record_id = ANY ((SELECT branch_dns_records(seen_entities()))::uuid[]));
ALTER POLICY seen ON stack_features
    USING ((SELECT sees_all()) OR platform_id = ANY ((SELECT seen_platforms())::text[])
        OR stack_id = ANY ((SELECT branch_stacks(seen_entities()))::text[]));
ALTER POLICY seen ON counters
    USING ((SELECT sees_all() OR is_writing()) OR split_part(key, ':', 2) = ANY ((SELECT seen_platforms())::text[])
        OR split_part(key, ':', 3) = ANY ((SELECT branch(seen_entities()))::text[]));
