// The service of a feature as it begins: it says which feature it is, in which version, and that its database is there.
// What it is stands before this text as the constant FEATURE.
const json = (body, status = 200) => Response.json(body, { status });

export default {
  async fetch(request, env) {
    const { pathname } = new URL(request.url);
    if (pathname === "/health") {
      return json({ status: "ok", ...FEATURE, database: Boolean(env.DB) });
    }
    return json({ error: { code: "NOT_FOUND", message: `Nothing at ${pathname}` } }, 404);
  },
};
