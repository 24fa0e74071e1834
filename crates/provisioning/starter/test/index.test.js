import assert from "node:assert/strict";
import { test } from "node:test";

import worker from "../src/index.js";

const get = (path, init) => worker.fetch(new Request(`http://localhost${path}`, init), {});

test("says whose it is", async () => {
  const response = await get("/");
  assert.equal(response.status, 200);
  const { platform } = await response.json();
  assert.deepEqual(platform, { id: "{{platform_id}}", name: "{{platform_name}}", slug: "{{slug}}" });
});

test("is healthy", async () => {
  assert.deepEqual(await (await get("/health")).json(), { status: "ok" });
});

test("refuses what it does not have", async () => {
  assert.equal((await get("/nothing")).status, 404);
  assert.equal((await get("/health", { method: "POST" })).status, 405);
});
