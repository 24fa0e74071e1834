-- What a person has onboarded, or is about to: how many platforms they may have is asked with every new one.
CREATE INDEX sagas_of_flow ON sagas (flow) WHERE status <> 'undone';
