// Uses a running system through the client that is generated from its document: node client.js URL KEY
import assert from "node:assert/strict";
import createClient from "openapi-fetch";
import type { components, paths } from "./schema.js";

const [, , baseUrl, key] = process.argv;
const nno = createClient<paths>({ baseUrl, headers: { authorization: `Bearer ${key}` } });

type Platform = components["schemas"]["Platform"];

async function createPlatform(slug: string): Promise<Platform> {
  const created = await nno.POST("/api/v1/platforms", { body: { name: "Generated", slug, tier: "starter" } });
  assert.equal(created.response.status, 201);
  assert.ok(created.data);
  return created.data;
}

const first = await createPlatform("first-generated");
const second = await createPlatform("second-generated");

// A page, and the page after it.
const page = await nno.GET("/api/v1/platforms", { params: { query: { limit: "1" } } });
assert.deepEqual(page.data?.data.map((platform) => platform.id), [second.id]);
const cursor = page.data?.pagination.nextCursor;
assert.ok(cursor);
const next = await nno.GET("/api/v1/platforms", { params: { query: { limit: "1", cursor } } });
assert.deepEqual(next.data?.data.map((platform) => platform.slug), [first.slug]);

// An error has the type that the document gives it.
const path = { platformId: "zzzzzzzzzz" };
const missing = await nno.GET("/api/v1/platforms/{platformId}", { params: { path } });
assert.equal(missing.response.status, 404);
assert.equal(missing.error?.error.code, "NOT_FOUND");

// Two parameters in the path, and a body.
const platformId = first.id;
const entity = await nno.POST("/api/v1/platforms/{platformId}/entities", {
  params: { path: { platformId } },
  body: { name: "Root", slug: "root", type: "tenant" },
});
assert.ok(entity.data);
const entityPath = { platformId, entityId: entity.data.id };
const renamed = await nno.PATCH("/api/v1/platforms/{platformId}/entities/{entityId}", {
  params: { path: entityPath },
  body: { name: "Renamed" },
});
assert.equal(renamed.data?.name, "Renamed");

console.log("the client is usable");
