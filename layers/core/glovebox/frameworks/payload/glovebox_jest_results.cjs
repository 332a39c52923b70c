// Reads the JSON results of jest, and of vitest, which writes the same.
"use strict";

const { readJson, relative } = require("./glovebox_node.cjs");

const OUTCOMES = {
  passed: "passed",
  failed: "failed",
  pending: "skipped",
  skipped: "skipped",
  todo: "skipped",
  disabled: "skipped",
};

// Every test of every file, once: what `run` with a pattern that matches nothing has listed.
function tests({ native, record }) {
  each(native, record, (file, test) => {
    record.test(file, [...test.ancestorTitles, test.title], test.location?.line);
  });
}

function results({ native, record }) {
  each(native, record, (file, test) => {
    let message = (test.failureMessages ?? []).join("\n");
    if (test.status === "todo") message = "todo";
    if (test.status === "passed" && test.invocations > 1) {
      message = `passed only when the framework tried it ${test.invocations} times`;
    }
    const seconds = typeof test.duration === "number" ? test.duration / 1000 : null;
    const titles = [...test.ancestorTitles, test.title];
    record.result(file, titles, OUTCOMES[test.status] ?? "errored", message, seconds);
  });
}

function each(native, record, tell) {
  const found = readJson(native);
  if (!Array.isArray(found?.testResults)) {
    record.problem("the framework ended before it had written its results");
    return;
  }
  for (const file of found.testResults) {
    const name = relative(file.name);
    const tests = file.assertionResults ?? [];
    const said = file.message || (file.failureMessage ?? "");
    const blamed = tests.some((test) => test.status === "failed");
    if (file.status === "failed" && !blamed) record.broken(name, said || "the file failed");
    for (const test of tests) tell(name, test);
  }
}

module.exports = { results, tests };
