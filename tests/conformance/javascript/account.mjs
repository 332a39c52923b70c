// The server that the suite is for, and what was asked of it.
import { subscribe } from "node:diagnostics_channel";
import { appendFileSync } from "node:fs";

import { Sandbox } from "@hopx-ai/sdk";

export const account = { apiKey: process.env.HOPX_API_KEY, baseURL: process.env.HOPX_BASE_URL };
if (!account.apiKey || !account.baseURL) throw new Error("HOPX_API_KEY and HOPX_BASE_URL are needed");

const log = process.env.GLOVEBOX_EXCHANGES;
const note = (method, path, status) =>
  log && appendFileSync(log, `${JSON.stringify({ method, path: path.split("?")[0], status })}\n`);
subscribe("http.client.response.finish", ({ request, response }) =>
  note(request.method, request.path, response.statusCode),
);
subscribe("undici:request:headers", ({ request, response }) =>
  note(request.method, request.path, response.statusCode),
);

// Runs with a sandbox of its own, which ends with it.
export async function withSandbox(given, body) {
  const wanted = { template: "code-interpreter", internetAccess: false, timeoutSeconds: 120 };
  const sandbox = await Sandbox.create({ ...wanted, ...given, ...account });
  try {
    return await body(sandbox);
  } finally {
    await sandbox.kill().catch((error) => {
      if (error.statusCode !== 404 && error.name !== "SandboxExpiredError") throw error;
    });
  }
}

// The error that something must be rejected with.
export async function refusal(promise) {
  try {
    await promise;
  } catch (error) {
    return error;
  }
  throw new Error("nothing was refused");
}
