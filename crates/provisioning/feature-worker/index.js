// Initial service of a feature. Its health check reports the feature, its version, and whether its database is bound.
// Provisioning prepends the constant FEATURE.
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
