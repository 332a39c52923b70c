// Files, variables and the cache.
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { mkdtemp, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

import * as sdk from "@hopx-ai/sdk";

import { refusal, withSandbox } from "./account.mjs";
import { check } from "./surface.mjs";

check("text comes back as it was written", ["Sandbox.files", "Files.write", "Files.read"], () =>
  withSandbox({}, async (sandbox) => {
    const text = "héllo\n\0end\r\n";
    await sandbox.files.write("/workspace/text", text, { mode: "0600" });
    assert.equal(await sandbox.files.read("/workspace/text"), text);
    assert.equal((await sandbox.commands.run("stat -c %a /workspace/text")).stdout, "600\n");
    await refusal(sandbox.files.write("/workspace/text", "other", { overwrite: false }));
    assert.equal(await sandbox.files.read("/workspace/text"), text);
  }),
);

check(
  "bytes come back as they were written",
  ["Files.writeBytes", "Files.readBytes", "Files.upload", "Files.download"],
  () =>
    withSandbox({}, async (sandbox) => {
      const content = Buffer.concat([randomBytes(300_000), Buffer.from("\r\n--"), Buffer.from("abcd")]);
      await sandbox.files.writeBytes("/workspace/bytes", content);
      assert.ok(content.equals(await sandbox.files.readBytes("/workspace/bytes")));
      const local = join(await mkdtemp(join(tmpdir(), "conformance-")), "sent");
      await writeFile(local, content);
      await sandbox.files.upload(local, "/workspace/up");
      assert.ok(content.equals(await sandbox.files.download("/workspace/up")));
    }),
);

check(
  "directories are made, listed, found and removed",
  ["Files.mkdir", "Files.list", "Files.exists", "Files.remove"],
  () =>
    withSandbox({}, async (sandbox) => {
      await sandbox.files.mkdir("/workspace/a/b c");
      await sandbox.files.write("/workspace/a/f&+#.txt", "12345");
      const listed = await sandbox.files.list("/workspace/a");
      assert.deepEqual(listed.map((file) => file.name), ["b c", "f&+#.txt"]);
      assert.equal(listed[1].size, 5);
      assert.equal(listed[1].path, "/workspace/a/f&+#.txt");
      // This SDK knows a directory by another name than the vendor's description.
      assert.deepEqual(listed.map((file) => file.isDir), [true, false]);
      assert.ok(!Number.isNaN(Date.parse(listed[1].modifiedTime)));
      assert.equal(await sandbox.files.exists("/workspace/a/f&+#.txt"), true);
      await sandbox.files.remove("/workspace/a");
      assert.equal(await sandbox.files.exists("/workspace/a"), false);
    }),
);

check("a missing file and a forbidden one are told apart", ["Files.read"], () =>
  withSandbox({}, async (sandbox) => {
    const missing = await refusal(sandbox.files.read("/workspace/missing"));
    assert.ok(missing instanceof sdk.FileNotFoundError, String(missing));
    assert.equal(missing.path, "/workspace/missing");
    const forbidden = await refusal(sandbox.files.read("/etc/shadow"));
    assert.equal(forbidden.code, "PATH_NOT_ALLOWED");
    // This SDK reads an error's sentence from another field than the vendor's description has.
    assert.doesNotMatch(forbidden.message, /status code/);
  }),
);

check("changes are told as they happen", ["Sandbox.watchFiles"], () =>
  withSandbox({}, async (sandbox) => {
    await sandbox.files.mkdir("/workspace/watched");
    // Again and again: nothing tells when the watch has begun.
    const touch = "for i in $(seq 100); do sleep 0.1; date > /workspace/watched/new; done";
    await sandbox.commands.runBackground(touch);
    for await (const message of sandbox.watchFiles("/workspace/watched")) {
      if (message.type !== "change") continue;
      assert.equal(message.path, "/workspace/watched/new");
      assert.ok(["created", "modified"].includes(message.event), message.event);
      break;
    }
  }),
);

check(
  "variables are set, merged, masked and applied",
  [
    "Sandbox.env",
    "EnvironmentVariables.get",
    "EnvironmentVariables.getAll",
    "EnvironmentVariables.set",
    "EnvironmentVariables.setAll",
    "EnvironmentVariables.update",
    "EnvironmentVariables.delete",
  ],
  () =>
    withSandbox({}, async (sandbox) => {
      await sandbox.env.set("ONE", "1");
      assert.deepEqual(await sandbox.env.update({ API_TOKEN: "t" }), { ONE: "1", API_TOKEN: "***MASKED***" });
      assert.equal(await sandbox.env.get("ONE"), "1");
      assert.equal((await sandbox.commands.run("echo $ONE$API_TOKEN")).stdout, "1t\n");
      assert.deepEqual(await sandbox.env.setAll({ KEPT: "1", GONE: "2" }), { KEPT: "1", GONE: "2" });
      await sandbox.env.delete("GONE");
      assert.deepEqual(await sandbox.env.getAll(), { KEPT: "1" });
    }),
);

check("the cache is counted and cleared", ["Sandbox.cache", "Cache.stats", "Cache.clear"], () =>
  withSandbox({}, async (sandbox) => {
    assert.equal(typeof (await sandbox.cache.stats()), "object");
    await sandbox.cache.clear();
  }),
);
