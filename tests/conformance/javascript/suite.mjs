// The whole suite in one process: what the tests claim is compared with what the SDK offers.
import { after } from "node:test";

import "./lifecycle.check.mjs";
import "./running.check.mjs";
import "./keeping.check.mjs";
import "./streams.check.mjs";
import "./templates.check.mjs";
import "./surface.check.mjs";

// This SDK leaves sockets open for ever, even those that a failed test waits at.
after(() => setTimeout(() => process.exit(), 500).unref());
