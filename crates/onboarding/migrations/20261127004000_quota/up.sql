-- The onboardings of a person that are not undone. Every new onboarding reads them to check the person's quota.
CREATE INDEX sagas_of_flow ON sagas (flow) WHERE status <> 'undone';
