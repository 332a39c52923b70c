// No method of the SDK beyond the desktop is without a test.
import assert from "node:assert/strict";

import { check, claimed, surface } from "./surface.mjs";

check("every method of the SDK has a test", [], () => {
  assert.deepEqual([...surface].filter((name) => !claimed.has(name)), []);
});

check("nothing is claimed that the SDK does not have", [], () => {
  assert.deepEqual([...claimed].filter((name) => !surface.has(name)), []);
});

check("the enumeration finds methods of every kind", [], () => {
  for (const name of ["Sandbox.create", "Sandbox.files", "Sandbox.runCodeStream", "Template.build", "getLogs"]) {
    assert.ok(surface.has(name), name);
  }
  for (const name of ["Sandbox.desktop", "Sandbox.ensureAgentClient"]) assert.ok(!surface.has(name), name);
});
