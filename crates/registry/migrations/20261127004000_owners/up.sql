-- Serves the quota check of every new platform, which counts the platforms of its owner.
CREATE INDEX platforms_of_owner ON platforms (owner_user_id) WHERE deleted_at IS NULL;
