// Playwright Test: lists with --list; reads its JSON reporter, which has file, titles and project.
"use strict";

const path = require("node:path");
const { escape, filesOf, pattern, readJson, relative, start } = require("./glovebox_node.cjs");

const OUTCOMES = { expected: "passed", flaky: "passed", unexpected: "failed", skipped: "skipped" };

function playwright({ program, native }, ...more) {
  const own = ["--retries=0", "--workers=1", "--reporter=line,json"];
  const env = { PLAYWRIGHT_JSON_OUTPUT_NAME: native, PLAYWRIGHT_JSON_OUTPUT_FILE: native };
  return start([program, "test", ...own, ...more], env);
}

// A project with a name stands as the first title: the same test in two is two tests.
function withoutProject(test) {
  const named = /^\[.+\]$/.test(test.titles[0] ?? "");
  return { ...test, titles: named ? test.titles.slice(1) : test.titles };
}

function each({ native, record }, tell) {
  const found = readJson(native);
  if (!Array.isArray(found?.suites)) {
    record.problem("Playwright ended before it had written its results");
    return;
  }
  for (const error of found.errors ?? []) {
    const file = error.location?.file;
    const message = error.stack || error.message || "error";
    if (file) record.broken(relative(file), message);
    else record.problem(message);
  }
  const root = found.config?.rootDir ?? process.cwd();
  const walk = (suite, titles) => {
    for (const spec of suite.specs ?? []) {
      for (const test of spec.tests) {
        const project = test.projectName ? [`[${test.projectName}]`] : [];
        const file = relative(path.resolve(root, spec.file));
        tell(file, [...project, ...titles, spec.title], spec.line, test);
      }
    }
    for (const inner of suite.suites ?? []) walk(inner, [...titles, inner.title]);
  };
  for (const suite of found.suites) walk(suite, []);
}

module.exports = {
  package: "@playwright/test",
  bin: "playwright",

  discover(session) {
    const code = playwright(session, "--list", ...session.request.paths.map(escape));
    each(session, (file, titles, line) => session.record.test(file, titles, line));
    return { code };
  },

  run(session) {
    const { request, record } = session;
    // It looks at project, file, titles and tags, joined by blanks.
    const only = pattern(request.tests.map(withoutProject), " ");
    const select = only === null ? [] : [`--grep=(?:^| )${only.slice(1, -1)}(?: @\\S+)*$`];
    const files = filesOf(request.tests).map((file) => escape(path.resolve(file)) + "$");
    const code = playwright(session, ...select, ...files);
    each(session, (file, titles, line, test) => {
      const last = test.results.at(-1);
      const said = (last?.errors ?? []).map((error) => error.stack || error.message).join("\n");
      const tries = `passed only when Playwright tried it ${test.results.length} times`;
      const outcome = last || test.status === "skipped" ? OUTCOMES[test.status] : "errored";
      const seconds = last ? last.duration / 1000 : null;
      const message = test.status === "flaky" ? tries : outcome === "failed" && !said
        ? `expected to be ${test.expectedStatus}, and ${last.status}` : said;
      record.result(file, titles, outcome ?? "errored", message, seconds);
    });
    return { code };
  },
};
