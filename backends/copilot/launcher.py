"""The program that starts GitHub Copilot CLI in a box, in JavaScript: `LAUNCHER`.

It adds to the stream what the CLI does not tell there: the conversation's id at the start, and at the end compactions
and the tokens by model. The CLI notes those of each response in the file of the conversation. The lines come before and
after the CLI runs, because two writers would tear each other's long lines.

It passes SIGTERM on to every process of the CLI. The entry point that npm installs would end at once and leave the rest
behind. The CLI itself breaks off, writes its last event, and exits. The entry point exits with 1 if the CLI was killed:
the launcher exits with 137 then.
"""

COMPACT = "PROCTOR_COMPACT"
"""The variable by which the launcher has the CLI compact the conversation that it resumes, before the CLI goes on."""

LAUNCHER = """\
import { spawn } from "node:child_process";
import { randomUUID } from "node:crypto";
import { readFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";

const [resumed, executable, ...options] = process.argv.slice(2);
const session = resumed || randomUUID();
const USED = '{"type":"session.usage_record"';
const LAST = '{"type":"session.shutdown"';
const COMPACTED = '{"type":"session.compaction_complete"';
const COUNTED = ["inputTokens", "outputTokens", "cacheReadTokens", "cacheWriteTokens"];

const tell = (type, data, then) =>
  process.stdout.write(`${JSON.stringify({ type: `proctor.${type}`, data })}\\n`, then);

const conversation = () => {
  try {
    return readFileSync(`${process.env.HOME}/.copilot/session-state/${session}/events.jsonl`);
  } catch {
    return Buffer.alloc(0);
  }
};
const before = conversation().length;
const since = () => conversation().subarray(before).toString();

let cli;
const signal = (name) => {
  try {
    return process.kill(-cli.pid, name);
  } catch {
    return false;
  }
};
let stopped = false;
process.on("SIGTERM", () => {
  stopped = true;
  signal("SIGTERM");
});

const start = (stdio) => {
  const own = [resumed ? "--resume" : "--session-id", session];
  cli = spawn(executable, [...options, ...own], { stdio, detached: true });
  cli.on("error", (error) => {
    console.error(`${executable} does not start: ${error.message}`);
    process.exit(127);
  });
  return new Promise((done) => cli.on("exit", done));
};

const compact = async () => {
  let running = true;
  start(["pipe", "ignore", "inherit"]).then(() => (running = false));
  cli.stdin.end("/compact");
  while (running && !since().includes(COMPACTED)) await sleep(100);
  signal("SIGTERM");
  while (signal(0)) await sleep(20);
};

const noted = (added) => {
  const models = {};
  for (const line of added.split("\\n"))
    try {
      if (line.startsWith(USED)) {
        const { model, ...used } = JSON.parse(line).data.usage;
        const sums = (models[model] ??= {});
        for (const name of COUNTED) if (Number.isInteger(used[name])) sums[name] = (sums[name] ?? 0) + used[name];
      } else if (line.startsWith(COMPACTED)) {
        const { success, trigger, preCompactionTokens } = JSON.parse(line).data;
        tell("compaction", { success, trigger, preCompactionTokens });
      }
    } catch {} // a line that was cut off
  return models;
};

tell("session", { sessionId: session });
if (process.env.PROCTOR_COMPACT) await compact();
const code = stopped ? 143 : await start("inherit");
while (code === null && signal(0)) await sleep(20); // SIGTERM has ended npm's entry point, but not yet the CLI
const added = since();
const killed = code === 1 && added && !added.includes(LAST);
const exitCode = killed ? 137 : (code ?? 143);
tell("end", { exitCode, models: noted(added) }, () => process.exit(exitCode));
"""
