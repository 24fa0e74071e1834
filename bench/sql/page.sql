-- A page of 50 from a random position of the list: the statements of `GET /platforms?limit=50&cursor=`, which read one row
-- more than the page and the counter. The platforms were loaded one second apart.
\set at random(0, :rows - 1)
\startpipeline
SELECT "platforms"."id", "platforms"."name", "platforms"."slug", "platforms"."status", "platforms"."tier", "platforms"."cf_account_id", "platforms"."repo_name", "platforms"."stripe_customer_id", "platforms"."owner_user_id", "platforms"."cancelled_at", "platforms"."cancellation_reason", "platforms"."suspended_at", "platforms"."suspension_reason", "platforms"."trial_ends_at", "platforms"."created_at", "platforms"."updated_at", "platforms"."deleted_at", "platforms"."period_ends_at" FROM "platforms" WHERE ((("platforms"."deleted_at" IS NULL) AND ("platforms"."created_at" <= to_timestamp(1000000000 + :at))) AND (("platforms"."created_at" < to_timestamp(1000000000 + :at)) OR (("platforms"."created_at" = to_timestamp(1000000000 + :at)) AND ("platforms"."id" < 'x')))) ORDER BY "platforms"."created_at" DESC, "platforms"."id" DESC LIMIT 51;
SELECT "counters"."n" FROM "counters" WHERE ("counters"."key" = 'platforms') ORDER BY "counters"."shard" LIMIT 64;
\endpipeline
