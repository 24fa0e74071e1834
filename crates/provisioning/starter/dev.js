// Serves the worker with Node's own HTTP server, for working on it. Not deployed.
import { createServer } from "node:http";

import worker from "./src/index.js";

const port = Number(process.env.PORT ?? 8787);

const server = createServer(async (incoming, outgoing) => {
  const hasBody = incoming.method !== "GET" && incoming.method !== "HEAD";
  const request = new Request(new URL(incoming.url, `http://${incoming.headers.host ?? "localhost"}`), {
    method: incoming.method,
    headers: Object.entries(incoming.headers).map(([name, value]) => [name, String(value)]),
    body: hasBody ? incoming : undefined,
    duplex: "half",
  });
  const response = await worker.fetch(request, process.env);
  outgoing.writeHead(response.status, Object.fromEntries(response.headers));
  outgoing.end(hasBody || incoming.method === "GET" ? Buffer.from(await response.arrayBuffer()) : undefined);
});

server.listen(port, "127.0.0.1", () => console.log(`listening on http://127.0.0.1:${server.address().port}`));
