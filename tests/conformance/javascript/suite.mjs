// The whole suite in one process: what the tests claim is compared with what the SDK offers.
import "./lifecycle.check.mjs";
import "./running.check.mjs";
import "./keeping.check.mjs";
import "./streams.check.mjs";
import "./templates.check.mjs";
import "./surface.check.mjs";
