// Anthropic's own client for Node.

import Anthropic from "@anthropic-ai/sdk";
import { ADD, KEY, PROMPT, SHOUT, VERDICT, all, run, total, used } from "./cells.mjs";

const TOOLS = [{ name: "add", input_schema: ADD }, { name: "shout", input_schema: SHOUT }];
const ASKED = [{ role: "user", content: PROMPT }];

const client = (url) => new Anthropic({ apiKey: KEY, baseURL: url, maxRetries: 0 });
const asked = (more) => ({ model: "demo", max_tokens: 1000, messages: ASKED, ...more });
const ask = (url, more) => client(url).messages.create(asked(more));
const textOf = (message) => message.content.map((block) => block.text ?? "").join("");

function usage(message) {
  const { input_tokens, cache_read_input_tokens, cache_creation_input_tokens, output_tokens } = message.usage;
  return used(input_tokens + (cache_read_input_tokens ?? 0) + (cache_creation_input_tokens ?? 0), output_tokens);
}

async function text(url) {
  const message = await ask(url);
  if (!message._request_id) throw new Error("no request id");
  return { text: textOf(message), usage: usage(message) };
}

async function stream(url) {
  const message = await client(url).messages.stream(asked()).finalMessage();
  return { text: textOf(message), usage: usage(message) };
}

async function tools(url) {
  const first = await ask(url, { tools: TOOLS });
  const called = first.content.filter((block) => block.type === "tool_use");
  const results = called.map((call) => ({ type: "tool_result", tool_use_id: call.id, content: "ok" }));
  const said = [{ role: "assistant", content: first.content }, { role: "user", content: results }];
  const second = await ask(url, { tools: TOOLS, messages: [...ASKED, ...said] });
  const calls = called.map((call) => [call.name, call.input]);
  return { calls, text: textOf(second), usage: total(usage(first), usage(second)) };
}

async function structured(url) {
  const message = await ask(url, { output_config: { format: { type: "json_schema", schema: VERDICT } } });
  return { json: JSON.parse(textOf(message)), usage: usage(message) };
}

async function forced(url) {
  const own = [...TOOLS, { name: "verdict", input_schema: VERDICT }];
  const message = await ask(url, { tools: own, tool_choice: { type: "tool", name: "verdict" } });
  return { json: message.content[0].input, usage: usage(message) };
}

async function short(url) {
  const message = await ask(url, { max_tokens: 8 });
  return { truncated: message.stop_reason === "max_tokens", usage: usage(message) };
}

async function models(url) {
  const listed = await all(client(url).models.list());
  return { models: listed.map((one) => one.id), model: (await client(url).models.retrieve("demo")).id };
}

const count = async (url) => ({
  count: (await client(url).messages.countTokens({ model: "demo", messages: ASKED })).input_tokens,
});

await run({ text, stream, silent: stream, tools, structured, forced, short, models, count, error: text, page: text });
