// What comes bit by bit. This SDK loses messages that arrive together, so that only what is sent
// apart can be counted on: a first line, and the end.
import assert from "node:assert/strict";

import { withSandbox } from "./account.mjs";
import { check } from "./surface.mjs";

check("output comes while code runs", ["Sandbox.runCodeStream"], () =>
  withSandbox({}, async (sandbox) => {
    await sandbox.commands.run("mkfifo /tmp/pipe");
    const code = "echo $A; pwd; cat /tmp/pipe; exit 4";
    const given = { language: "bash", env: { A: "first" }, workingDir: "/tmp", timeout: 30 };
    let seen = "";
    let last;
    for await (const message of sandbox.runCodeStream(code, given)) {
      if (message.type === "stdout" && seen === "") {
        seen = message.data;
        await sandbox.commands.run("echo > /tmp/pipe");
      }
      last = message;
    }
    assert.match(seen, /^first\n/);
    assert.equal(last.type, "complete");
    assert.equal(last.success, false);
  }),
);

check(
  "a terminal is one",
  ["Sandbox.terminal", "Terminal.connect", "Terminal.sendInput", "Terminal.resize", "Terminal.output"],
  () =>
    withSandbox({}, async (sandbox) => {
      const { terminal } = sandbox;
      const socket = await terminal.connect();
      terminal.resize(socket, 97, 31);
      terminal.sendInput(socket, "sleep 0.3; stty size; echo $((6 * 7))-é\n");
      let seen = "";
      for await (const message of terminal.output(socket)) {
        seen += message.data ?? "";
        if (seen.includes("42-é")) break;
      }
      assert.match(seen, /31 97/);
      terminal.sendInput(socket, "sleep 0.3; exit 5\n");
      let last;
      for await (const message of terminal.output(socket)) last = message;
      assert.deepEqual([last.type, last.code], ["exit", 5]);
      socket.close();
    }),
);
