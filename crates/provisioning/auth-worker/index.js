// Initial auth worker of every platform. Its health check reports whether its database and its secret are bound.
const json = (body, status = 200) => Response.json(body, { status });

export default {
  async fetch(request, env) {
    const { pathname } = new URL(request.url);
    if (pathname === "/health") {
      return json({ status: "ok", database: Boolean(env.DB), secret: Boolean(env.AUTH_SECRET) });
    }
    return json({ error: { code: "NOT_FOUND", message: `Nothing at ${pathname}` } }, 404);
  },
};
