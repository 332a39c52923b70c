// Notes that a process came to its own end: one that exits by a call does not pass here.
"use strict";

const file = process.env.GLOVEBOX_ENDED;
delete process.env.GLOVEBOX_ENDED;
process.once("beforeExit", () => require("node:fs").writeFileSync(file, ""));
