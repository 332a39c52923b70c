// Commands, code and processes.
import assert from "node:assert/strict";
import { createHmac } from "node:crypto";
import { existsSync } from "node:fs";
import { createServer } from "node:http";

import * as sdk from "@hopx-ai/sdk";

import { refusal, withSandbox } from "./account.mjs";
import { check } from "./surface.mjs";

// Somebody who waits to be called.
class Callback {
  static async open() {
    const callback = new Callback();
    callback.server = createServer();
    await new Promise((resolve) => callback.server.listen(0, "127.0.0.1", resolve));
    callback.url = `http://127.0.0.1:${callback.server.address().port}/done`;
    callback.called = new Promise((resolve) => {
      callback.server.on("request", async (request, response) => {
        const pieces = [];
        for await (const piece of request) pieces.push(piece);
        response.end();
        resolve({ headers: request.headers, body: Buffer.concat(pieces) });
      });
    });
    return callback;
  }

  close() {
    this.server.closeAllConnections();
    this.server.close();
  }
}

check("a command answers code and both streams", ["Sandbox.commands", "Commands.run"], () =>
  withSandbox({}, async (sandbox) => {
    const line = "echo out $ONE; pwd; echo err >&2; exit 3";
    const given = { env: { ONE: "é 1" }, workingDir: "/tmp", timeout: 20 };
    const result = await sandbox.commands.run(line, given);
    assert.equal(result.exit_code, 3);
    assert.equal(result.stdout, "out é 1\n/tmp\n");
    assert.equal(result.stderr, "err\n");
    assert.equal(result.success, false);
    assert.ok(result.execution_time > 0);
  }),
);

check("a background command runs on", ["Commands.run", "Commands.runBackground"], () =>
  withSandbox({}, async (sandbox) => {
    const line = "echo $WHO > /workspace/$WHO; sleep 60";
    const first = await sandbox.commands.runBackground(line, { env: { WHO: "one" } });
    const second = await sandbox.commands.run(line, { env: { WHO: "two" }, background: true });
    assert.notEqual(first.process_id, second.process_id);
    assert.equal(first.status, "running");
    const wait = "until [ -s one ] && [ -s two ]; do sleep 0.01; done; cat one two; pgrep -c sleep";
    assert.equal((await sandbox.commands.run(wait)).stdout, "one\ntwo\n2\n");
  }),
);

check("code of every language runs", ["Sandbox.runCode"], () =>
  withSandbox({ envVars: { SHARED: "s" } }, async (sandbox) => {
    const python = "import os; print(os.environ['SHARED'] + os.environ['OWN'])";
    const answered = await sandbox.runCode(python, { env: { OWN: "o" }, timeout: 60, preflight: true });
    assert.deepEqual([answered.stdout, answered.exitCode, answered.success], ["so\n", 0, true]);
    assert.ok(answered.executionTime > 0);
    const bash = await sandbox.runCode("pwd; exit 7", { language: "bash", workingDir: "/tmp" });
    assert.deepEqual([bash.stdout, bash.exitCode, bash.success], ["/tmp\n", 7, false]);
    if (existsSync("/usr/bin/node")) {
      const javascript = await sandbox.runCode("console.log(6 * 7)", { language: "javascript" });
      assert.equal(javascript.stdout, "42\n", javascript.stderr);
    }
  }),
);

check("a Python session remembers", ["Sandbox.runCode", "Sandbox.getJupyterSessions"], () =>
  withSandbox({}, async (sandbox) => {
    await sandbox.runCode("kept = 1");
    assert.equal((await sandbox.runCode("print(kept)")).stdout, "1\n");
    assert.equal((await sandbox.getJupyterSessions()).length, 1);
    const failed = await sandbox.runCode("1 / 0");
    assert.equal(failed.success, false);
    assert.match(failed.stderr, /ZeroDivisionError/);
  }),
);

check("IPython code runs", ["Sandbox.runIpython"], () =>
  withSandbox({}, async (sandbox) => {
    const answered = await sandbox.runIpython("print(6 * 7)", { timeout: 60 });
    assert.deepEqual([answered.stdout, answered.exitCode], ["42\n", 0]);
  }),
);

check("the end of code is called out and signed", ["Sandbox.runCodeAsync"], () =>
  withSandbox({}, async (sandbox) => {
    const listening = await Callback.open();
    try {
      const started = await sandbox.runCodeAsync("print('é')", {
        callbackUrl: listening.url,
        callbackHeaders: { "X-Mine": "yes" },
        callbackSignatureSecret: "secret",
        timeout: 60,
      });
      assert.equal(started.callback_url, listening.url);
      const { headers, body } = await listening.called;
      const told = JSON.parse(body.toString("utf-8"));
      assert.equal(told.execution_id, started.execution_id);
      assert.deepEqual([told.stdout, told.exit_code], ["é\n", 0]);
      assert.equal(headers["x-mine"], "yes");
      // The vendor's samples sign the time as well; the SDK itself has no say in it.
      const signed = Buffer.concat([Buffer.from(headers["x-hopx-timestamp"]), body]);
      const signature = createHmac("sha256", "secret").update(signed).digest("hex");
      assert.equal(headers["x-hopx-signature"], `sha256=${signature}`);
    } finally {
      listening.close();
    }
  }),
);

check(
  "code in the background is listed and killed",
  ["Sandbox.runCodeBackground", "Sandbox.listProcesses", "Sandbox.killProcess"],
  () =>
    withSandbox({}, async (sandbox) => {
      const given = { name: "sleeper", language: "bash", env: { A: "1" }, workingDir: "/tmp" };
      const started = await sandbox.runCodeBackground("sleep 600", given);
      const listed = async () =>
        (await sandbox.listProcesses()).find((known) => known.process_id === started.process_id);
      const running = await listed();
      assert.deepEqual([running.name, running.status], ["sleeper", "running"]);
      await sandbox.commands.run("until pgrep sleep; do sleep 0.01; done");
      await sandbox.killProcess(started.process_id);
      assert.equal((await listed()).status, "killed");
      const left = await sandbox.commands.run("pgrep -c sleep || true");
      assert.equal(left.stdout, "0\n");
      assert.ok((await refusal(sandbox.killProcess("bg_0"))) instanceof sdk.HopxError);
    }),
);

check("the system's processes are listed", ["Sandbox.listSystemProcesses"], () =>
  withSandbox({}, async (sandbox) => {
    await sandbox.commands.runBackground("sleep 600");
    const listed = await sandbox.listSystemProcesses();
    assert.ok(listed.some((known) => JSON.stringify(known).includes("sleep")));
    assert.ok(listed.every((known) => known.pid > 0));
  }),
);

check(
  "the agent tells of itself",
  ["Sandbox.getAgentInfo", "Sandbox.getMetricsSnapshot", "Sandbox.getAgentMetrics"],
  () =>
    withSandbox({}, async (sandbox) => {
      assert.equal((await sandbox.getAgentInfo()).vm_id, sandbox.sandboxId);
      assert.ok(Object.keys(await sandbox.getMetricsSnapshot()).length > 0);
      assert.ok(Object.keys(await sandbox.getAgentMetrics()).length > 0);
    }),
);

check("what takes too long is killed and told", ["Commands.run", "Sandbox.runCode"], () =>
  withSandbox({}, async (sandbox) => {
    for (const late of [
      () => sandbox.commands.run("sleep 600", { timeout: 1 }),
      () => sandbox.runCode("sleep 600", { language: "bash", timeout: 1 }),
    ]) {
      const error = await refusal(late());
      assert.deepEqual([error.statusCode, error.code], [408, "EXECUTION_TIMEOUT"]);
      assert.ok(error.requestId);
    }
    assert.equal((await sandbox.commands.run("pgrep -c sleep || true")).stdout, "0\n");
  }),
);
