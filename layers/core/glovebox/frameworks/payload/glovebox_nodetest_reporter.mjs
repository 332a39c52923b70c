// A reporter for node:test: the tests with their path of titles, once all of them have ended.
//
// A test is what is written down as one: a suite is none, nor is what a test starts within itself,
// which Node.js cannot name beforehand; the test that started it fails with it.
const LEFT_OUT = "test name does not match pattern";

export default async function* report(events) {
  const tests = [];
  const open = []; // by depth: the titles and kinds of what has started
  let below = [];
  let planned = null;
  for await (const { type, data } of events) {
    if (type === "test:start") {
      open[data.nesting] = data.name;
    } else if (type === "test:plan" && data.nesting === 0) {
      planned = data.count;
    } else if (type === "test:pass" || type === "test:fail") {
      const error = data.details?.error;
      const cause = error?.cause ?? error;
      const said = cause?.stack ?? cause?.message ?? cause ?? error;
      const titles = [...open.slice(0, data.nesting), data.name];
      const suite = data.details?.type === "suite";
      const one = {
        titles,
        line: data.line ?? null,
        passed: type === "test:pass",
        skip: data.skip ?? null,
        todo: data.todo ?? null,
        leftOut: data.skip === LEFT_OUT,
        seconds: (data.details?.duration_ms ?? 0) / 1000,
        message: type === "test:fail" ? String(said) : null,
        cancelled: error?.failureType === "cancelledByParent",
      };
      const inner = below.filter((test) => within(test, titles));
      below = below.filter((test) => !within(test, titles));
      if (suite) {
        below.push(...inner);
        // Nobody looks into a suite that is skipped: it stands for what is in it.
        if (inner.length === 0 && data.skip) below.push(one);
        if (!one.passed) blame(inner, one, below);
      } else {
        for (const part of inner.filter((test) => !test.passed && !test.todo)) {
          one.message = `${one.message}\n${part.titles.at(-1)}: ${part.message}`;
        }
        one.partly = !one.leftOut && inner.some((test) => test.leftOut);
        below.push(one);
      }
      if (data.nesting === 0) tests.push(...below.splice(0));
    }
  }
  // Cut short, it says nothing: a file that ends itself has proven nothing.
  if (planned !== null) yield JSON.stringify({ tests });
}

// A suite that failed by a hook of its own: a test of it has to say so, the last one that ran.
// Where none ran, the suite stands for itself: the exit code tells of it too.
function blame(inner, suite, below) {
  for (const test of inner.filter((test) => test.cancelled)) {
    test.message = `${test.message}\n${suite.message}`;
  }
  const ran = inner.filter((test) => !test.leftOut && !test.todo);
  if (ran.some((test) => !test.passed)) return;
  const last = ran.findLast((test) => !test.skip);
  if (last) {
    last.passed = false;
    last.message = `${suite.titles.at(-1)}: ${suite.message}`;
  } else {
    below.push({ ...suite, hook: true });
  }
}

function within(test, titles) {
  return test.titles.length > titles.length && titles.every((title, at) => test.titles[at] === title);
}
