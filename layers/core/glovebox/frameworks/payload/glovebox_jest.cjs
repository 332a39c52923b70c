// jest: lists by running a pattern that no title matches, and reports every test as pending.
"use strict";

const { NEVER, escape, filesOf, pattern, start } = require("./glovebox_node.cjs");
const read = require("./glovebox_jest_results.cjs");

function jest({ program, native }, ...more) {
  const fixed = ["--ci", "--json", "--testLocationInResults", "--watchAll=false"];
  const own = ["--coverage=false", "--passWithNoTests=false", "--bail=0"];
  return start([program, ...fixed, ...own, `--outputFile=${native}`, ...more]);
}

module.exports = {
  package: "jest",
  bin: "jest",

  discover(session) {
    // What jest takes as paths are regular expressions.
    const paths = session.request.paths.map(escape);
    const code = jest(session, `--testNamePattern=${NEVER}`, ...paths);
    read.tests(session);
    return { code };
  },

  run(session) {
    const { tests } = session.request;
    const only = pattern(tests, " ");
    const select = only === null ? [] : [`--testNamePattern=${only}`];
    const code = jest(session, "--runInBand", ...select, "--runTestsByPath", ...filesOf(tests));
    read.results(session);
    return { code };
  },
};
