DROP INDEX onboardings_slug;
UPDATE sagas SET input = input - 'sharesSlug' WHERE kind = 'onboarding' AND input ? 'sharesSlug';
