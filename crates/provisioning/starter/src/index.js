// Written once, when the repository was made: the service can tell by itself whose it is.
const platform = { id: "{{platform_id}}", name: "{{platform_name}}", slug: "{{slug}}" };

const routes = {
  "/": () => ({ service: "app", platform }),
  "/health": () => ({ status: "ok" }),
};

const worker = {
  async fetch(request, env) {
    const { pathname } = new URL(request.url);
    if (!Object.hasOwn(routes, pathname)) {
      return Response.json({ error: { code: "NOT_FOUND", message: `Nothing at ${pathname}` } }, { status: 404 });
    }
    if (request.method !== "GET" && request.method !== "HEAD") {
      const error = { code: "METHOD_NOT_ALLOWED", message: `${pathname} answers GET` };
      return Response.json({ error }, { status: 405, headers: { allow: "GET, HEAD" } });
    }
    return Response.json(routes[pathname](request, env));
  },
};

export default worker;
