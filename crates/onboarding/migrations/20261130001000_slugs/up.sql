-- An onboarding in progress reserves its slug. Of existing onboardings with the same slug, only the first reserves it.
UPDATE sagas SET input = input || '{"sharesSlug": true}'
    WHERE kind = 'onboarding' AND status IN ('pending', 'running', 'undoing', 'stuck') AND EXISTS (
        SELECT FROM sagas earlier WHERE earlier.kind = 'onboarding'
            AND earlier.status IN ('pending', 'running', 'undoing', 'stuck')
            AND earlier.input ->> 'slug' = sagas.input ->> 'slug' AND earlier.id < sagas.id);
CREATE UNIQUE INDEX onboardings_slug ON sagas ((input ->> 'slug'))
    WHERE kind = 'onboarding' AND status IN ('pending', 'running', 'undoing', 'stuck') AND NOT (input ? 'sharesSlug');
