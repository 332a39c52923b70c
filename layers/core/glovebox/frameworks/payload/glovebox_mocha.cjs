// mocha: lists with --dry-run. A reporter of ours stands in for its JSON reporter, which keeps
// only the joined titles.
"use strict";

const fs = require("node:fs");
const path = require("node:path");
const { filesOf, pattern, start } = require("./glovebox_node.cjs");

function mocha({ program, native }, ...more) {
  const reporter = path.join(__dirname, "glovebox_mocha_reporter.cjs");
  const own = ["--no-parallel", "--no-bail", "--retries=0"];
  return start([program, ...own, `--reporter=${reporter}`, ...more], { GLOVEBOX_NATIVE: native });
}

function lines({ native, record }) {
  let text = "";
  try {
    text = fs.readFileSync(native, "utf8");
  } catch {
    // Told below: it never came to its first test.
  }
  const told = text.split("\n").filter(Boolean).map((line) => JSON.parse(line));
  const last = told.at(-1);
  if (last?.kind !== "finished") {
    record.problem("mocha ended before its last test");
  }
  return told;
}

module.exports = {
  package: "mocha",
  bin: "mocha",

  discover(session) {
    const code = mocha(session, "--dry-run", ...session.request.paths);
    for (const line of lines(session)) {
      if (line.kind === "result") session.record.test(line.file, line.titles, null);
    }
    return { code };
  },

  run(session) {
    const { tests } = session.request;
    const only = pattern(tests, " ");
    const select = only === null ? [] : [`--grep=${only}`];
    const code = mocha(session, ...select, ...filesOf(tests));
    let failures = null;
    for (const line of lines(session)) {
      const { kind, file, titles, outcome, message, seconds } = line;
      if (kind === "result") session.record.result(file, titles, outcome, message, seconds);
      if (kind === "broken") session.record.broken(file, message);
      if (kind === "finished") failures = line.failures;
    }
    return { code, failures };
  },
};
