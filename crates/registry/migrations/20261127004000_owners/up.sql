-- Whose a platform is: how many someone may have is asked with every new one.
CREATE INDEX platforms_of_owner ON platforms (owner_user_id) WHERE deleted_at IS NULL;
