// mocha's reporter `spec`, which also writes each test's whole path of titles and its ending.
"use strict";

const fs = require("node:fs");
const path = require("node:path");
const { installed, relative } = require("./glovebox_node.cjs");

const { reporters } = require(installed("mocha").root);

class Witness extends reporters.Spec {
  constructor(runner, options) {
    super(runner, options);
    this._descriptor = fs.openSync(process.env.GLOVEBOX_NATIVE, "w");
    this._held = null; // the last test: a hook after it may still fail it
    this._tries = new Map();
    runner.on("test", () => this._flush());
    runner.on("retry", (test) => this._tries.set(title(test), (this._tries.get(title(test)) ?? 1) + 1));
    runner.on("pass", (test) => this._hold(test, "passed", this._retried(test)));
    runner.on("pending", (test) => this._hold(test, "skipped", null));
    runner.on("fail", (test, error) => this._failed(test, error));
    runner.on("suite end", () => this._flush());
    runner.on("end", () => {
      this._flush();
      this._write({ kind: "finished", failures: runner.stats?.failures ?? runner.failures });
    });
  }

  _failed(runnable, error) {
    const said = String(error?.stack || error?.message || error);
    if (runnable.type !== "hook") {
      this._hold(runnable, "failed", said);
      return;
    }
    const message = `${runnable.title}: ${said}`;
    const current = runnable.ctx?.currentTest;
    if (/^"(before|after) each"/.test(runnable.title) && current) {
      this._held = null; // it had passed, and its hook has not
      this._hold(current, "failed", message);
    } else if (runnable.title.startsWith('"before all"')) {
      // None of them runs. mocha counts one failure, and names none of them.
      runnable.parent.eachTest((test) => this._hold(test, "failed", message));
    } else if (this._held) {
      // As with other frameworks: the last test before it says so.
      if (this._held.outcome !== "failed") Object.assign(this._held, { outcome: "failed", message });
    } else {
      this._write({ kind: "broken", file: place(runnable), message });
    }
  }

  _retried(test) {
    const tries = this._tries.get(title(test));
    return tries ? `passed only when mocha tried it ${tries} times` : null;
  }

  _hold(test, outcome, message) {
    this._flush();
    const seconds = typeof test.duration === "number" ? test.duration / 1000 : null;
    const titles = test.titlePath();
    this._held = { kind: "result", file: place(test), titles, outcome, message, seconds };
  }

  _flush() {
    if (this._held) this._write(this._held);
    this._held = null;
  }

  _write(line) {
    fs.writeSync(this._descriptor, JSON.stringify(line) + "\n");
  }
}

function title(test) {
  return JSON.stringify(test.titlePath());
}

function place(runnable) {
  for (let at = runnable; at; at = at.parent) if (at.file) return relative(path.resolve(at.file));
  return "";
}

module.exports = Witness;
