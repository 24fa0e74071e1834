// The auth worker that every platform begins with: it says who it serves and that its database and secret are there.
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
