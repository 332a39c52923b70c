// Templates: what the builder asks for, and what the server makes of it.
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { mkdir, mkdtemp, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

import * as sdk from "@hopx-ai/sdk";

import { account, refusal, withSandbox } from "./account.mjs";
import { check, module } from "./surface.mjs";

const { Sandbox, Template } = sdk;
const sized = { cpu: 1, memory: 512, diskGB: 1 };
const named = () => ({ name: `j-${randomBytes(4).toString("hex")}`, ...sized, ...account });

// The SDK looks every two or three seconds for what is there in a moment.
const { setTimeout: original } = globalThis;
globalThis.setTimeout = (callback, delay, ...given) =>
  original(callback, delay === 2000 || delay === 3000 ? 50 : delay, ...given);

const run = (template) =>
  template.getSteps().map((step) => {
    assert.equal(step.type, sdk.StepType.RUN);
    return step.args[0];
  });

check("the vendor's templates are listed", ["Sandbox.listTemplates", "Sandbox.getTemplate"], async () => {
  const listed = await Sandbox.listTemplates(account);
  for (const name of ["base", "code-interpreter"]) {
    const template = await Sandbox.getTemplate(name, account);
    assert.equal(template.id, listed.find((known) => known.name === name).id);
    assert.deepEqual([template.status, template.isActive], ["active", true]);
    assert.ok(template.defaultResources.memoryMb > 0);
  }
  assert.deepEqual(await Sandbox.listTemplates({ ...account, language: "none" }), []);
});

check(
  "a template begins with an image",
  [
    "createTemplate",
    "Template.fromUbuntuImage",
    "Template.fromPythonImage",
    "Template.fromNodeImage",
    "Template.fromPrivateImage",
    "Template.fromGCPPrivateImage",
    "Template.fromAWSPrivateImage",
    "Template.getFromImage",
    "Template.getRegistryAuth",
  ],
  () => {
    assert.equal(module.createTemplate("base").getFromImage(), "base");
    assert.equal(new Template().fromUbuntuImage("24.04").getFromImage(), "ubuntu:24.04");
    assert.equal(new Template().fromPythonImage("3.12").getFromImage(), "python:3.12");
    assert.equal(new Template().fromNodeImage("20").getFromImage(), "ubuntu/node:20-22.04_edge");
    const auth = { username: "me", password: "secret" };
    assert.deepEqual(new Template().fromPrivateImage("i", auth).getRegistryAuth(), auth);
    const google = new Template().fromGCPPrivateImage("i", { serviceAccountJSON: { key: 1 } });
    assert.deepEqual(google.getRegistryAuth(), { username: "_json_key", password: '{"key":1}' });
    const amazon = new Template().fromAWSPrivateImage("i", { accessKeyId: "id", secretAccessKey: "key" });
    assert.deepEqual(amazon.getRegistryAuth(), { username: "id", password: "key" });
  },
);

check(
  "what is installed is a command with full paths",
  [
    "Template.runCmd",
    "Template.aptInstall",
    "Template.pipInstall",
    "Template.npmInstall",
    "Template.goInstall",
    "Template.cargoInstall",
    "Template.gitClone",
    "Template.getSteps",
  ],
  () => {
    const template = new Template("base")
      .runCmd("echo 1")
      .aptInstall("a", ["b"])
      .pipInstall("c")
      .npmInstall("d")
      .goInstall(["e"])
      .cargoInstall(["f"])
      .gitClone("u", "/d");
    assert.equal(template.getSteps().length, 7);
    assert.deepEqual(run(template), [
      "echo 1",
      "apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y a b",
      "/usr/local/bin/pip3 install --no-cache-dir c",
      "/usr/local/bin/npm install -g d",
      "go install e",
      "cargo install f",
      "git clone u /d",
    ]);
  },
);

check(
  "the other steps have types of their own",
  [
    "Template.copy",
    "Template.setEnv",
    "Template.setEnvs",
    "Template.setWorkdir",
    "Template.setUser",
    "Template.skipCache",
    "Template.addMetadata",
    "Template.getMetadata",
    "Template.setStartCmd",
    "Template.getStartCmd",
    "Template.getReadyCheck",
    "waitForPort",
    "waitForURL",
    "waitForFile",
    "waitForProcess",
    "waitForCommand",
  ],
  () => {
    const template = new Template("base")
      .copy(["a", "b"], "/workspace/")
      .setEnv("A", "1")
      .setEnvs({ B: "2" })
      .setWorkdir("/workspace")
      .setUser("user")
      .skipCache()
      .addMetadata("agent_version", "1")
      .setStartCmd("sleep 600", module.waitForPort(80));
    assert.deepEqual(
      template.getSteps().map((step) => [step.type, step.args]),
      [
        ["COPY", ["a,b", "/workspace/"]],
        ["ENV", ["A", "1"]],
        ["ENV", ["B", "2"]],
        ["WORKDIR", ["/workspace"]],
        ["USER", ["user"]],
      ],
    );
    assert.equal(template.getSteps().at(-1).skipCache, true);
    assert.deepEqual(template.getMetadata(), { agent_version: "1" });
    assert.equal(template.getStartCmd(), "sleep 600");
    assert.equal(template.getReadyCheck().port, 80);
    assert.equal(module.waitForURL("http://u").type, "url");
    assert.equal(module.waitForFile("/f").type, "file");
    assert.equal(module.waitForProcess("p").type, "process");
    assert.equal(module.waitForCommand("c").type, "command");
  },
);

check(
  "a template is built, used and deleted",
  ["Template.build", "Sandbox.deleteTemplate", "getLogs"],
  async () => {
    const context = await mkdtemp(join(tmpdir(), "conformance-"));
    await mkdir(join(context, "app"));
    await writeFile(join(context, "app", "data"), "from the host");
    const lines = [];
    const progress = [];
    // Its steps are worded otherwise than the Python SDK's: {"type": "env", "key": …}.
    const template = new Template()
      .fromPythonImage("3.11")
      .setEnv("STEP", "one")
      .setWorkdir("/workspace/made")
      .copy("app/**", "/workspace/made/")
      .runCmd("echo $STEP > here; echo said in the build")
      .setStartCmd("sleep 600", module.waitForProcess("sleep"));
    const built = await Template.build(template, {
      ...named(),
      contextPath: context,
      onLog: (entry) => lines.push(entry.message),
      onProgress: (percent) => progress.push(percent),
    });
    assert.ok(lines.some((line) => line.includes("said in the build")));
    assert.deepEqual(progress, [100]);
    const logs = await built.getLogs();
    assert.match(logs.logs, /said in the build/);
    const rest = await module.getLogs(built.templateID, account.apiKey, logs.offset, account.baseURL);
    assert.equal(rest.logs, "");
    const vm = await built.createVM({ envVars: { MINE: "1" } });
    const sandbox = await Sandbox.connect(vm.vmID, account.apiKey, account.baseURL);
    const ran = await sandbox.commands.run("cat /workspace/made/here; echo $MINE; pgrep -c sleep");
    assert.equal(ran.stdout, "one\n1\n1\n");
    assert.equal(await sandbox.files.read("/workspace/made/data"), "from the host");
    await vm.delete();
    await withSandbox({ template: undefined, templateId: built.templateID }, async (second) => {
      assert.equal(await second.files.read("/workspace/made/here"), "one\n");
    });
    await Sandbox.deleteTemplate(built.templateID, account);
    await refusal(Sandbox.getTemplate(built.templateID, account));
  },
);

check(
  "the images that the SDK has names for are there",
  ["Template.build", "Template.fromUbuntuImage", "Template.fromPythonImage", "Template.fromNodeImage"],
  async () => {
    for (const template of [
      new Template().fromUbuntuImage("22.04"),
      new Template().fromPythonImage("3.12-slim"),
      new Template().fromNodeImage("20"),
    ]) {
      const built = await Template.build(template.runCmd("python3 --version"), named());
      await Sandbox.deleteTemplate(built.templateID, account);
    }
  },
);

check("a step that fails fails the build", ["Template.build"], async () => {
  const template = new Template("base").runCmd("echo the reason; exit 9");
  const failed = await refusal(Template.build(template, named()));
  assert.ok(failed instanceof sdk.TemplateBuildError, String(failed));
});
