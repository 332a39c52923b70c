// node:test: each file in a process of its own, as `node --test` has it, with a reporter of ours.
//
// Node.js up to 20 reports tests that a name pattern leaves out, which lists them; later ones
// keep silent of them, so there a file is the smallest thing that can be listed.
"use strict";

const fs = require("node:fs");
const path = require("node:path");
const { NEVER, escape, filesOf, readJson, relative, startHeard } = require("./glovebox_node.cjs");

const NAMED = /^(?:test|test-.+|.+[.\-_]test)\.[cm]?js$/;

function lists(version) {
  return Number(/^v(\d+)\./.exec(version)?.[1]) <= 20;
}

// As `node --test` looks for files: by their names, and everything below a folder `test`.
function search(folder, inTest, found) {
  const entries = fs.readdirSync(folder, { withFileTypes: true });
  entries.sort((a, b) => (a.name < b.name ? -1 : 1));
  for (const entry of entries) {
    const name = path.join(folder, entry.name);
    if (entry.isDirectory()) {
      if (entry.name !== "node_modules" && !entry.name.startsWith(".")) {
        search(name, inTest || entry.name === "test", found);
      }
    } else if (NAMED.test(entry.name) || (inTest && /\.[cm]?js$/.test(entry.name))) {
      found.push(relative(name));
    }
  }
}

function files(paths) {
  const found = [];
  for (const name of paths.length ? paths : ["."]) {
    if (!fs.existsSync(name)) throw new Error(`there is no ${name}`);
    if (fs.statSync(name).isDirectory()) {
      search(name, path.resolve(name).split(path.sep).includes("test"), found);
    } else {
      found.push(relative(name));
    }
  }
  return [...new Set(found)];
}

// One file's process: its exit code, its tests, and whether it came to its own end.
function run(file, native, patterns) {
  fs.rmSync(native, { force: true });
  const reporter = path.join(__dirname, "glovebox_nodetest_reporter.mjs");
  const outputs = [`--test-reporter=${reporter}`, `--test-reporter-destination=${native}`];
  const human = ["--test-reporter=spec", "--test-reporter-destination=stdout"];
  const natural = path.join(__dirname, "glovebox_nodetest_ending.cjs");
  const only = patterns.map((one) => `--test-name-pattern=${one}`);
  const ended = native + ".ended";
  fs.rmSync(ended, { force: true });
  const options = ["--require", natural, ...human, ...outputs, ...only];
  const { code, said } = startHeard([...options, path.resolve(file)], { GLOVEBOX_ENDED: ended });
  const tests = readJson(native)?.tests;
  const finished = Array.isArray(tests);
  return { code, said, tests: tests ?? [], finished, ended: fs.existsSync(ended) };
}

function outcome(test) {
  if (test.partly) return "errored"; // its own parts were left out, as if they had not been asked for
  if (test.skip || test.todo) return "skipped";
  return test.passed ? "passed" : "failed";
}

// Exit code 1 says that a test failed; anything beyond it is worse.
function worst(codes) {
  return codes.find((code) => code > 1) ?? Math.max(0, ...codes);
}

module.exports = {
  package: null,

  discover({ version, request, record, native }) {
    let found = [];
    try {
      found = files(request.paths);
    } catch (error) {
      record.problem(error.message);
      return { code: 1 };
    }
    if (!lists(version)) {
      for (const file of found) record.test(file, [], null);
      return { code: 0 };
    }
    const codes = [];
    for (const file of found) {
      const seen = run(file, native, [NEVER]);
      for (const test of seen.tests) if (!test.hook) record.test(file, test.titles, test.line);
      // A hook that fails here is for the tests to tell: they are listed all the same.
      if (!seen.finished && (seen.code !== 0 || !seen.ended)) {
        const ending = `it ended with exit code ${seen.code} and without a list of its tests`;
        record.broken(file, seen.said ? `${ending}\n${seen.said}` : ending);
        codes.push(1);
      }
    }
    return { code: worst(codes) };
  },

  run({ version, request, record, native }) {
    const codes = [];
    for (const file of filesOf(request.tests)) {
      const asked = request.tests.filter((test) => test.file === file);
      if (!fs.existsSync(file)) {
        record.broken(file, "there is no such file");
        continue;
      }
      // Node.js up to 20 looks at a test's own name, later ones at all names, joined by blanks.
      const name = (test) => (lists(version) ? test.titles.at(-1) : test.titles.join(" "));
      const whole = asked.some((test) => test.titles.length === 0);
      const seen = run(file, native, whole ? [] : asked.map((test) => `/^${escape(name(test))}$/`));
      codes.push(seen.code);
      if (!seen.finished) {
        if (whole && seen.ended && seen.code === 0) {
          record.result(file, [], "skipped", "it registers no test", null);
        } else {
          const ending = "it ended before its last test";
          record.broken(file, seen.said ? `${ending}\n${seen.said}` : ending);
        }
      }
      for (const test of seen.finished ? seen.tests : []) {
        // A test that nobody asked for, or that was asked for and left out: it did not run.
        if (test.leftOut) continue;
        const reason = [test.skip, test.todo].find((why) => typeof why === "string");
        const message = test.message ?? reason;
        record.result(file, test.titles, outcome(test), message, test.seconds);
      }
    }
    return { code: worst(codes) };
  },
};
