"""A script that Node.js runs before a CLI's own code. The variable `NODE_OPTIONS` names it."""

from __future__ import annotations

QUICK_EXIT = """\
import { setFlagsFromString } from "node:v8";

setFlagsFromString("--liftoff-only"); // else Node.js optimizes WebAssembly, and waits for that before it exits
"""
"""The beginning of a script for a CLI that parses shell commands with WebAssembly.

Measured with Node.js 20 and 22, Qwen Code and Gemini CLI: after some commands, the optimization takes 1 to 2 seconds of
CPU after the CLI's last line. On a busy machine that is over 10 seconds.
"""


def node_options(script: str) -> dict[str, str]:
    """Return the variables with which Node.js runs `script` first.

    Every Node.js process inherits them, also those that the agent starts. So the script has to delete `NODE_OPTIONS`
    in the CLI's last process.
    """
    return {"NODE_OPTIONS": f"--import={script}"}
