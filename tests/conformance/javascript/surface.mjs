// What the SDK offers, found by reflection, and who calls it: no method goes without a test.
//
// `check` names the methods that a test is for. `surface.check.mjs` fails for one that nobody
// names, and a test that names a method and never calls it fails as well.
import assert from "node:assert/strict";
import { AsyncLocalStorage } from "node:async_hooks";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { test } from "node:test";

import * as sdk from "@hopx-ai/sdk";

const types = readFileSync(
  createRequire(import.meta.url).resolve("@hopx-ai/sdk").replace(/index\.js$/, "index.d.ts"),
  "utf-8",
);
// What TypeScript calls private is there for JavaScript all the same, and no business of ours.
const hidden = new Set(
  [...types.matchAll(/^\s*private (?:static |readonly |async )*(\w+)/gm)].map((found) => found[1]),
);
hidden.add("constructor");
// There is no screen: DESKTOP_NOT_AVAILABLE.
const excepted = new Set(["Sandbox.desktop"]);
const classes = ["Sandbox", "Files", "Commands", "EnvironmentVariables", "Cache", "Terminal", "Template"];
const functions = [
  "createTemplate", "getLogs", "waitForCommand", "waitForFile", "waitForPort", "waitForProcess", "waitForURL",
];

const calls = new AsyncLocalStorage();
export const surface = new Set();
export const claimed = new Set();

function note(name) {
  const called = calls.getStore();
  // The third line is who called the method: the SDK's own calls do not count.
  const caller = new Error().stack.split("\n")[3] ?? "";
  if (called && !caller.includes("@hopx-ai")) called.add(name);
}

function watch(owner, prefix) {
  for (const [key, member] of Object.entries(Object.getOwnPropertyDescriptors(owner))) {
    const name = `${prefix}.${key}`;
    const callable = typeof member.value === "function";
    if (hidden.has(key) || excepted.has(name) || !(callable || member.get)) continue;
    surface.add(name);
    const inner = callable ? member.value : member.get;
    function noting(...given) {
      note(name);
      return inner.apply(this, given);
    }
    Object.defineProperty(owner, key, callable ? { ...member, value: noting } : { ...member, get: noting });
  }
}

for (const name of classes) {
  watch(sdk[name].prototype, name);
  watch(sdk[name], name);
}

// Functions of a module cannot be replaced; these are called by their name here.
export const module = {};
for (const name of functions) {
  surface.add(name);
  module[name] = (...given) => {
    note(name);
    return sdk[name](...given);
  };
}

// A test of some methods, which it has to call.
export function check(title, names, body) {
  for (const name of names) claimed.add(name);
  test(title, { timeout: 20_000 }, async (context) => {
    const called = new Set();
    await calls.run(called, () => body(context));
    const uncalled = names.filter((name) => !called.has(name));
    assert.deepEqual(uncalled, [], "claimed and never called");
  });
}
