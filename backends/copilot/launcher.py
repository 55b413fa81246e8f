"""The program that starts GitHub Copilot CLI in a box, in JavaScript: `LAUNCHER`.

It adds to the stream what the CLI does not tell there: the conversation's id at the start, and at the end compactions
and the tokens by model. The CLI notes those of each response in the file of the conversation. The lines come before and
after the CLI runs, because two writers would tear each other's long lines.

It passes SIGTERM on to every process of the CLI. The entry point that npm installs would end at once and leave the rest
behind. The CLI itself breaks off, writes its last event, and exits.
"""

LAUNCHER = """\
import { spawn } from "node:child_process";
import { randomUUID } from "node:crypto";
import { readFileSync } from "node:fs";

const [resumed, executable, ...options] = process.argv.slice(2);
const session = resumed || randomUUID();

const tell = (type, data, then) =>
  process.stdout.write(`${JSON.stringify({ type: `proctor.${type}`, data })}\\n`, then);

const conversation = () => {
  try {
    return readFileSync(`${process.env.HOME}/.copilot/session-state/${session}/events.jsonl`);
  } catch {
    return Buffer.alloc(0);
  }
};

const counted = ["inputTokens", "outputTokens", "cacheReadTokens", "cacheWriteTokens"];

const noted = (text) => {
  const models = {};
  let modelMs = 0;
  for (const line of text.split("\\n"))
    try {
      if (line.startsWith('{"type":"session.usage_record"')) {
        const { model, duration, ...used } = JSON.parse(line).data.usage;
        modelMs += duration ?? 0;
        const sums = (models[model] ??= {});
        for (const name of counted) if (Number.isInteger(used[name])) sums[name] = (sums[name] ?? 0) + used[name];
      } else if (line.startsWith('{"type":"session.compaction_complete"')) {
        const { success, trigger, preCompactionTokens } = JSON.parse(line).data;
        tell("compaction", { success, trigger, preCompactionTokens });
      }
    } catch {} // a line that was cut off
  return { models, modelMs };
};

const before = conversation().length;
tell("session", { sessionId: session });
const own = [resumed ? "--resume" : "--session-id", session];
const cli = spawn(executable, [...options, ...own], { stdio: "inherit", detached: true });

const signal = (name) => {
  try {
    return process.kill(-cli.pid, name);
  } catch {
    return false;
  }
};

const end = (code) => {
  tell("end", { exitCode: code, ...noted(conversation().subarray(before).toString()) }, () => process.exit(code));
};

process.on("SIGTERM", () => signal("SIGTERM"));
cli.on("error", (error) => {
  console.error(`${executable} does not start: ${error.message}`);
  process.exit(127);
});
cli.on("exit", (code) => {
  const wait = () => (code === null && signal(0) ? setTimeout(wait, 20) : end(code ?? 143));
  wait();
});
"""
