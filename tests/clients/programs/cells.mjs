// What the programs of all clients for Node share. See cells.py, which does the same for Python.

import readline from "node:readline";

export const PROMPT = "Say hello.";
export const KEY = "sealed";
const integer = { type: "integer" };
const string = { type: "string" };
export const ADD = { type: "object", properties: { a: integer, b: integer }, required: ["a", "b"] };
export const SHOUT = { type: "object", properties: { text: string }, required: ["text"] };
export const VERDICT = {
  type: "object",
  properties: { answer: integer, why: string },
  required: ["answer", "why"],
  additionalProperties: false,
};

export const used = (sent, said) => ({ sent: sent ?? 0, said: said ?? 0 });
export const total = (...usages) =>
  used(usages.reduce((sum, one) => sum + one.sent, 0), usages.reduce((sum, one) => sum + one.said, 0));

export async function all(things) {
  const found = [];
  for await (const thing of things) found.push(thing);
  return found;
}

function status(error) {
  for (let one = error; one; one = one.cause ?? one.lastError)
    for (const name of ["status", "statusCode", "status_code"]) if (Number.isInteger(one[name])) return one[name];
  return null;
}

// Do each job, and print its outcome. An error is an outcome.
export async function run(cells) {
  for await (const line of readline.createInterface({ input: process.stdin })) {
    const job = JSON.parse(line);
    if (!cells[job.cell]) continue;
    let outcome;
    try {
      outcome = await cells[job.cell](job.url, job.wire);
    } catch (error) {
      outcome = { raised: error.name ?? "Error", status: status(error), message: String(error.message).slice(0, 2000) };
    }
    process.stdout.write(JSON.stringify({ ...job, outcome }) + "\n");
  }
}
