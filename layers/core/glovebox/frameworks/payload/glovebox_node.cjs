// A JavaScript framework with a witness: runs inside a sandbox, writes what it did as JSON lines.
//
//     node glovebox_node.cjs FRAMEWORK discover|run OUT NONCE REQUEST
//
// REQUEST is a file with JSON: {"paths": [...], "tests": [{"file": ..., "titles": [...], "copy": 1}]}.
// Starts the framework's own program, as it is installed below node_modules, with an argument
// list and no shell. What differs between frameworks is in
// glovebox_FRAMEWORK.cjs beside this file. Every line of the record carries NONCE.
"use strict";

const fs = require("node:fs");
const path = require("node:path");
const { constants } = require("node:os");
const { spawnSync } = require("node:child_process");

const MAX_MESSAGE = 8000; // characters of a failure's text that travel in the record
const HIGHEST_CODE = 255; // a program can end with
const MAX_HEARD = 64 * 1024 * 1024; // bytes of standard error, before its process is ended
const CUT = "\u2026"; // where a text was cut: a secret's half is looked for beside it
// eslint-disable-next-line no-control-regex
const COLOURS = /\u001b\[[0-9;?]*[ -/]*[@-~]/g;
const NEVER = "^\\u0000glovebox lists$"; // no title holds a NUL: a framework that runs it, lists

class Record {
  constructor(out, nonce, tests) {
    this._nonce = nonce;
    this._descriptor = fs.openSync(out, "w");
    this._names = new Set(tests.map((test) => name(test.file, test.titles)));
    this._asked = new Set(tests.map((test) => name(test.file, test.titles, test.copy)));
    this._copies = new Map();
    this.failed = { asked: 0, others: 0, broken: 0 };
  }

  write(facts) {
    const line = JSON.stringify({ ...facts, nonce: this._nonce });
    const ascii = line.replace(
      /[\u007f-\uffff]/g,
      (c) => "\\u" + c.charCodeAt(0).toString(16).padStart(4, "0"),
    );
    fs.writeSync(this._descriptor, ascii + "\n");
  }

  test(file, titles, line) {
    this.write({ kind: "test", file, titles, line: line ?? null });
  }

  // What nobody asked for is left out, unless it has the name of what was asked for.
  result(file, titles, outcome, message, seconds) {
    const copy = (this._copies.get(name(file, titles)) ?? 0) + 1;
    this._copies.set(name(file, titles), copy);
    const whole = this._names.has(name(file, []));
    const asked = whole || this._asked.has(name(file, titles, copy));
    if (outcome === "failed") this.failed[asked ? "asked" : "others"] += 1;
    if (whole || this._names.has(name(file, titles))) {
      const text = message ? words(message) : null;
      this.write({ kind: "result", file, titles, outcome, message: text, duration: seconds });
    }
  }

  broken(file, message) {
    this.failed.broken += 1;
    this.write({ kind: "broken", file, message: words(message) });
  }

  problem(message) {
    this.write({ kind: "problem", message: words(message) });
  }
}

function name(file, titles, copy) {
  return JSON.stringify([file, titles, copy]);
}

function words(message) {
  const text = String(message).replace(COLOURS, "");
  return text.length <= MAX_MESSAGE ? text : text.slice(0, MAX_MESSAGE) + CUT;
}

// A path as an id has it: relative to the source's root, with `/`.
function relative(file) {
  return path.relative(process.cwd(), file).split(path.sep).join("/");
}

function escape(text) {
  return text.replace(/[\\^$.*+?()[\]{}|/-]/g, "\\$&").replace(/\n/g, "\\n").replace(/\r/g, "\\r");
}

// One pattern for exactly these titles, as frameworks join them.
function pattern(tests, separator) {
  if (tests.some((test) => test.titles.length === 0)) return null; // the whole of a file
  const joined = tests.map((test) => test.titles.map(escape).join(separator));
  return "^(?:" + [...new Set(joined)].join("|") + ")$";
}

function filesOf(tests) {
  return [...new Set(tests.map((test) => test.file))];
}

// A package as Node.js looks for it, from the current folder upwards. Never downloaded.
function installed(wanted) {
  for (let folder = process.cwd(); ; folder = path.dirname(folder)) {
    const root = path.join(folder, "node_modules", wanted);
    try {
      return { root, about: JSON.parse(fs.readFileSync(path.join(root, "package.json"), "utf8")) };
    } catch {
      if (folder === path.dirname(folder)) return null;
    }
  }
}

// Node.js itself: the package `node`, where a project has it, as npm's own scripts do.
function nodeProgram() {
  const own = installed("node");
  const program = own && path.join(own.root, "bin", "node");
  return program && fs.existsSync(program) ? program : process.execPath;
}

function start(args, env) {
  return startHeard(args, env, "inherit").code;
}

// As `start`, and what it said on its standard error.
function startHeard(args, env, errors = "pipe") {
  const ended = spawnSync(nodeProgram(), args, {
    stdio: ["inherit", "inherit", errors],
    env: { ...process.env, ...env },
    maxBuffer: MAX_HEARD,
  });
  if (ended.stderr) process.stderr.write(ended.stderr);
  if (ended.error) console.error(String(ended.error));
  const code = ended.status ?? (ended.signal ? 128 + constants.signals[ended.signal] : 70);
  return { code, said: String(ended.stderr ?? "") };
}

// A file that a framework wrote; null where there is none or it is none of its own.
function readJson(file) {
  try {
    return JSON.parse(fs.readFileSync(file, "utf8"));
  } catch {
    return null;
  }
}

function main([framework, mode, out, nonce, requested]) {
  const adapter = require(path.join(__dirname, `glovebox_${framework}.cjs`));
  const request = JSON.parse(fs.readFileSync(requested, "utf8"));
  const record = new Record(out, nonce, request.tests);
  const found = adapter.package ? installed(adapter.package) : null;
  const node = spawnSync(nodeProgram(), ["--version"], { encoding: "utf8" }).stdout?.trim() ?? "";
  const version = String(adapter.package ? (found?.about.version ?? "") : node);
  record.write({ kind: "session", version, node });
  if (adapter.package && !found) {
    const what = `${adapter.package} is not installed: there is no node_modules/${adapter.package}`;
    record.problem(`${what}; image.setup can bring it, with npm ci for example`);
    console.error(what);
    record.write({ kind: "end", exit_code: 1 });
    return 1;
  }
  const bin = found?.about.bin;
  const program = found && path.join(found.root, typeof bin === "string" ? bin : bin[adapter.bin]);
  const native = path.join(__dirname, "native.json");
  const ended = adapter[mode]({ program, version, request, record, native });
  const code = mode === "run" ? verdict(ended.code, ended.failures, record.failed) : ended.code;
  record.write({ kind: "end", exit_code: code, native_code: ended.code });
  return code;
}

// The exit code for what was asked for. A framework that says "a test failed" may mean one that
// only shares a name, or a hook of another suite: that is no failure of these. Any other code
// stays as it is, and so does one that no failed test explains.
function verdict(code, failures, failed) {
  const saysFailed = code === 1 || (failures > 0 && code === Math.min(failures, HIGHEST_CODE));
  if (!saysFailed || failed.asked + failed.others === 0) return code;
  if (failed.asked > 0) return 1;
  return failed.broken > 0 ? code : 0;
}

module.exports = { NEVER, escape, filesOf, installed, pattern, readJson, relative, start, startHeard };

if (require.main === module) process.exitCode = main(process.argv.slice(2));
