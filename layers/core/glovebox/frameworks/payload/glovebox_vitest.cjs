// vitest 4 and 5: lists by running a pattern that no title matches, which skips every test.
// `vitest list` is no list of tests: version 5 does not expand `each`, version 4 omits skipped ones.
"use strict";

const path = require("node:path");
const { NEVER, filesOf, pattern, start } = require("./glovebox_node.cjs");
const read = require("./glovebox_jest_results.cjs");

function vitest({ program, native }, ...more) {
  const reports = ["--reporter=default", "--reporter=json", `--outputFile.json=${native}`];
  const own = ["--watch=false", "--coverage.enabled=false", "--passWithNoTests=false"];
  const tries = ["--retry=0", "--bail=0", "--includeTaskLocation"];
  return start([program, "run", ...reports, ...own, ...tries, ...more]);
}

module.exports = {
  package: "vitest",
  bin: "vitest",

  discover(session) {
    const code = vitest(session, `--testNamePattern=${NEVER}`, ...session.request.paths);
    read.tests(session);
    return { code };
  },

  run(session) {
    const { tests } = session.request;
    // Titles are joined by a blank in version 4 and by " > " in version 5.
    const only = pattern(tests, "(?: > | )");
    const select = only === null ? [] : [`--testNamePattern=${only}`];
    const files = filesOf(tests).map((file) => path.resolve(file));
    const code = vitest(session, ...select, ...files);
    read.results(session);
    return { code };
  },
};
