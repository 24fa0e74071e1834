ALTER POLICY seen ON entities
    USING ((SELECT sees_all()) OR platform_id = ANY ((SELECT seen_platforms())::text[])
        OR id IN (SELECT unnest((SELECT branch(seen_entities()))::text[])))
    WITH CHECK ((SELECT sees_all()) OR platform_id = ANY ((SELECT seen_platforms())::text[])
        OR id = ANY ((SELECT seen_entities())::text[]) OR path && (SELECT seen_entities())::text[]);
ALTER POLICY seen ON stacks
    USING ((SELECT sees_all()) OR platform_id = ANY ((SELECT seen_platforms())::text[])
        OR tenant_id IN (SELECT unnest((SELECT branch(seen_entities()))::text[])));
ALTER POLICY seen ON resources
    USING ((SELECT sees_all()) OR platform_id = ANY ((SELECT seen_platforms())::text[])
        OR entity_id IN (SELECT unnest((SELECT branch(seen_entities()))::text[])));
ALTER POLICY seen ON feature_activations
    USING ((SELECT sees_all()) OR platform_id = ANY ((SELECT seen_platforms())::text[])
        OR entity_id IN (SELECT unnest((SELECT branch(seen_entities()))::text[])));
ALTER POLICY seen ON manifests
    USING ((SELECT sees_all()) OR platform_id = ANY ((SELECT seen_platforms())::text[])
        OR entity_id IN (SELECT unnest((SELECT branch(seen_entities()))::text[])));
ALTER POLICY seen ON secrets
    USING ((SELECT sees_all()) OR platform_id = ANY ((SELECT seen_platforms())::text[])
        OR resource_id IN (SELECT unnest((SELECT branch_resources(seen_entities()))::uuid[])));
ALTER POLICY seen ON dns_records
    USING ((SELECT sees_all()) OR platform_id = ANY ((SELECT seen_platforms())::text[])
        OR resource_id IN (SELECT unnest((SELECT branch_resources(seen_entities()))::uuid[])));
ALTER POLICY seen ON custom_domains
    USING ((SELECT sees_all()) OR platform_id = ANY ((SELECT seen_platforms())::text[])
        OR dns_record_id IN (SELECT unnest((SELECT branch_dns_records(seen_entities()))::uuid[])));
ALTER POLICY seen ON stack_features
    USING ((SELECT sees_all()) OR platform_id = ANY ((SELECT seen_platforms())::text[])
        OR stack_id IN (SELECT unnest((SELECT branch_stacks(seen_entities()))::text[])));
ALTER POLICY seen ON counters
    USING ((SELECT sees_all() OR is_writing()) OR split_part(key, ':', 2) = ANY ((SELECT seen_platforms())::text[])
        OR split_part(key, ':', 3) IN (SELECT unnest((SELECT branch(seen_entities()))::text[])));

DELETE FROM counters WHERE key LIKE 'entities\_under:%' OR key LIKE 'resources\_under:%';

DROP TRIGGER keep_members ON entities;
DROP TRIGGER keep_members_changed ON entities;
DROP TRIGGER keep_members ON stacks;
DROP TRIGGER keep_members_changed ON stacks;
DROP TRIGGER keep_members ON resources;
DROP TRIGGER keep_members_changed ON resources;
DROP TRIGGER keep_members ON dns_records;
DROP TRIGGER keep_members_changed ON dns_records;
DROP TRIGGER keep_members ON custom_domains;
DROP TRIGGER keep_members_changed ON custom_domains;
DROP FUNCTION keep_entity_members(), keep_stack_members(), keep_resource_members(), keep_dns_record_members(),
    keep_custom_domain_members(), fill_subtree_members(), drop_members(text, text),
    put_members(text[], text, timestamptz, text, text, integer), entity_line(text);
DROP TABLE subtree_members;
