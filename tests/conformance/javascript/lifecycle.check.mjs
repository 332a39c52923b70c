// Sandboxes from their creation to their end.
import assert from "node:assert/strict";

import * as sdk from "@hopx-ai/sdk";

import { account, refusal, withSandbox } from "./account.mjs";
import { check } from "./surface.mjs";

const { Sandbox } = sdk;

async function gone(sandbox) {
  const error = await refusal(sandbox.getInfo());
  assert.ok(error instanceof sdk.SandboxExpiredError || error.statusCode === 404, String(error));
}

check("a sandbox is what was asked for", ["Sandbox.create", "Sandbox.getInfo"], () =>
  withSandbox({ template: "base", timeoutSeconds: 300, region: "local" }, async (sandbox) => {
    const info = await sandbox.getInfo();
    assert.equal(info.sandboxId, sandbox.sandboxId);
    assert.equal(info.status, "running");
    assert.equal(info.templateName, "base");
    assert.equal(info.internetAccess, false);
    assert.equal(info.timeoutSeconds, 300);
    assert.equal(info.resources.memoryMb, 256);
    assert.ok(new Date(info.expiresAt) > new Date(info.createdAt));
  }),
);

check("variables given at creation are there", ["Sandbox.create"], () =>
  withSandbox({ envVars: { GREETING: "hello world" } }, async (sandbox) => {
    assert.equal((await sandbox.commands.run("echo $GREETING")).stdout, "hello world\n");
  }),
);

check("a template is taken by its id", ["Sandbox.create", "Sandbox.getTemplate"], async () => {
  const base = await Sandbox.getTemplate("base", account);
  await withSandbox({ template: undefined, templateId: base.id }, async (sandbox) => {
    assert.equal((await sandbox.getInfo()).templateName, "base");
  });
});

check("a wrong key and an unknown template are refused", ["Sandbox.create"], async () => {
  const wrong = await refusal(Sandbox.create({ template: "base", ...account, apiKey: "wrong" }));
  assert.ok(wrong instanceof sdk.AuthenticationError, String(wrong));
  const unknown = await refusal(Sandbox.create({ template: "none", ...account }));
  assert.ok(unknown instanceof sdk.APIError, String(unknown));
  assert.equal(unknown.statusCode, 404);
});

check("living sandboxes are listed", ["Sandbox.list", "Sandbox.iter"], () =>
  withSandbox({}, async (sandbox) => {
    const listed = await Sandbox.list({ ...account, status: "running", region: "local" });
    assert.ok(listed.some((found) => found.sandboxId === sandbox.sandboxId));
    assert.equal((await Sandbox.list({ ...account, limit: 1 })).length, 1);
    const iterated = [];
    for await (const found of Sandbox.iter(account)) iterated.push(found.sandboxId);
    assert.ok(iterated.includes(sandbox.sandboxId));
  }),
);

check("a killed sandbox is gone for good", ["Sandbox.kill"], () =>
  withSandbox({}, async (sandbox) => {
    await sandbox.kill();
    await gone(sandbox);
  }),
);

check("a paused sandbox is resumed", ["Sandbox.pause", "Sandbox.resume"], () =>
  withSandbox({}, async (sandbox) => {
    await sandbox.pause();
    assert.equal((await sandbox.getInfo()).status, "paused");
    await sandbox.resume();
    assert.equal((await sandbox.commands.run("echo 1")).stdout, "1\n");
  }),
);

check("somebody else goes on with a sandbox", ["Sandbox.connect", "Sandbox.pause"], () =>
  withSandbox({}, async (sandbox) => {
    await sandbox.files.write("/workspace/mine", "1");
    await sandbox.pause();
    const other = await Sandbox.connect(sandbox.sandboxId, account.apiKey, account.baseURL);
    assert.equal((await other.getInfo()).status, "running");
    assert.equal(await other.files.read("/workspace/mine"), "1");
    assert.equal(await sandbox.files.read("/workspace/mine"), "1");
  }),
);

check("a sandbox object is made ready without creating one", ["Sandbox.init"], () =>
  withSandbox({}, async (sandbox) => {
    const known = new Sandbox(sandbox.sandboxId, account.apiKey, account.baseURL);
    await known.init();
    assert.equal((await known.commands.run("echo 1")).stdout, "1\n");
  }),
);

check(
  "a new time counts from now",
  ["Sandbox.setTimeout", "Sandbox.getTimeToExpiry", "Sandbox.isExpiringSoon", "Sandbox.getExpiryInfo"],
  () =>
    withSandbox({ timeoutSeconds: 3600 }, async (sandbox) => {
      assert.equal(await sandbox.isExpiringSoon(), false);
      await sandbox.setTimeout(200);
      const left = await sandbox.getTimeToExpiry();
      assert.ok(left > 190 && left <= 200, String(left));
      assert.equal(await sandbox.isExpiringSoon(), true);
      assert.equal(await sandbox.isExpiringSoon(100), false);
      const info = await sandbox.getExpiryInfo();
      assert.deepEqual([info.hasTimeout, info.isExpired, info.isExpiringSoon], [true, false, true]);
    }),
);

check("a sandbox without a time never ends", ["Sandbox.getExpiryInfo", "Sandbox.getTimeToExpiry"], () =>
  withSandbox({ timeoutSeconds: undefined }, async (sandbox) => {
    assert.equal(await sandbox.getTimeToExpiry(), null);
    assert.equal((await sandbox.getExpiryInfo()).hasTimeout, false);
  }),
);

check("who waits for the end is told", ["Sandbox.startExpiryMonitor", "Sandbox.stopExpiryMonitor"], () =>
  withSandbox({ timeoutSeconds: 100 }, async (sandbox) => {
    const told = await new Promise((resolve) => sandbox.startExpiryMonitor(resolve, 300, 0.05));
    sandbox.stopExpiryMonitor();
    assert.ok(told.timeToExpiry <= 100);
    assert.equal(told.isExpiringSoon, true);
  }),
);

check("a sandbox ends when its time is over", ["Sandbox.setTimeout"], () =>
  withSandbox({}, async (sandbox) => {
    await sandbox.setTimeout(1);
    // The command holds the connection until the sandbox ends under it: nothing to wait by guess.
    const error = await refusal(sandbox.commands.run("sleep 60"));
    assert.ok(error instanceof sdk.HopxError, String(error));
    await gone(sandbox);
  }),
);

check(
  "health is told",
  ["Sandbox.isHealthy", "Sandbox.ensureHealthy", "Sandbox.getHealth", "Sandbox.healthCheck"],
  () =>
    withSandbox({}, async (sandbox) => {
      assert.equal((await Sandbox.healthCheck(account.baseURL)).status, "healthy");
      assert.equal((await sandbox.getHealth()).status, "healthy");
      assert.equal(await sandbox.isHealthy(), true);
      await sandbox.ensureHealthy();
      await sandbox.kill();
      await refusal(sandbox.ensureHealthy());
      assert.ok((await refusal(Sandbox.healthCheck("http://127.0.0.1:9"))) instanceof sdk.HopxError);
    }),
);

check("a new token opens", ["Sandbox.getToken", "Sandbox.refreshToken", "Sandbox.ensureValidToken"], () =>
  withSandbox({}, async (sandbox) => {
    await sandbox.ensureValidToken();
    const first = await sandbox.getToken();
    await sandbox.refreshToken();
    assert.notEqual(await sandbox.getToken(), first);
    assert.equal((await sandbox.commands.run("echo 1")).stdout, "1\n");
    sandbox.agentClient.updateJwtToken("wrong");
    assert.equal((await sandbox.commands.run("echo renewed")).stdout, "renewed\n");
  }),
);

// The SDK's own: it takes nothing but *.vms.hopx.dev for a host that it can make an address from.
check(
  "a preview address is for the vendor's hosts alone",
  ["Sandbox.getPreviewUrl", "Sandbox.agentUrl"],
  () =>
    withSandbox({}, async (sandbox) => {
      assert.match(String(await refusal(sandbox.getPreviewUrl(8080))), /Unable to determine preview URL/);
      assert.match(String(await refusal(sandbox.agentUrl)), /Unable to determine preview URL/);
    }),
);
