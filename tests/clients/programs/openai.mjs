// OpenAI's own client for Node, over both of its wires.

import OpenAI from "openai";
import { ADD, KEY, PROMPT, SHOUT, VERDICT, all, run, total, used } from "./cells.mjs";

const FUNCTIONS = [{ name: "add", parameters: ADD }, { name: "shout", parameters: SHOUT }];
const TOOLS = FUNCTIONS.map((one) => ({ type: "function", function: one }));
const FLAT = FUNCTIONS.map((one) => ({ type: "function", strict: false, ...one }));
const FORM = { name: "verdict", schema: VERDICT, strict: true };
const ASKED = [{ role: "user", content: PROMPT }];

const client = (url) => new OpenAI({ apiKey: KEY, baseURL: `${url}/v1`, maxRetries: 0 });
const chat = (url, more) => client(url).chat.completions.create({ model: "demo", messages: ASKED, ...more });
const respond = (url, more) => client(url).responses.create({ model: "demo", input: PROMPT, store: false, ...more });
const chatUsage = (answer) => used(answer.usage.prompt_tokens, answer.usage.completion_tokens);
const usage = (answer) => used(answer.usage.input_tokens, answer.usage.output_tokens);
const isChat = (wire) => wire === "openai_chat";

async function text(url, wire) {
  if (isChat(wire)) {
    const answer = await chat(url);
    return { text: answer.choices[0].message.content, usage: chatUsage(answer) };
  }
  const answer = await respond(url);
  return { text: answer.output_text, usage: usage(answer) };
}

async function stream(url, wire) {
  if (isChat(wire)) {
    const more = { stream_options: { include_usage: true } };
    const answer = await client(url).chat.completions.stream({ model: "demo", messages: ASKED, ...more }).finalChatCompletion();
    return { text: answer.choices[0].message.content, usage: chatUsage(answer) };
  }
  const answer = await client(url).responses.stream({ model: "demo", input: PROMPT, store: false }).finalResponse();
  return { text: answer.output_text, usage: usage(answer) };
}

// Stream without asking for the usage. Each chunk then has a choice.
async function silent(url, wire) {
  if (!isChat(wire)) return stream(url, wire);
  const chunks = await all(await chat(url, { stream: true }));
  return { text: chunks.map((chunk) => chunk.choices[0].delta.content ?? "").join("") };
}

async function tools(url, wire) {
  if (isChat(wire)) {
    const first = await chat(url, { tools: TOOLS });
    const { message } = first.choices[0];
    const results = message.tool_calls.map((call) => ({ role: "tool", tool_call_id: call.id, content: "ok" }));
    const second = await chat(url, { tools: TOOLS, messages: [...ASKED, message, ...results] });
    const calls = message.tool_calls.map((call) => [call.function.name, JSON.parse(call.function.arguments)]);
    return { calls, text: second.choices[0].message.content, usage: total(chatUsage(first), chatUsage(second)) };
  }
  const first = await respond(url, { tools: FLAT });
  const called = first.output.filter((item) => item.type === "function_call");
  const results = called.map((call) => ({ type: "function_call_output", call_id: call.call_id, output: "ok" }));
  const second = await respond(url, { tools: FLAT, input: [...ASKED, ...first.output, ...results] });
  const calls = called.map((call) => [call.name, JSON.parse(call.arguments)]);
  return { calls, text: second.output_text, usage: total(usage(first), usage(second)) };
}

async function structured(url, wire) {
  if (isChat(wire)) {
    const answer = await chat(url, { response_format: { type: "json_schema", json_schema: FORM } });
    return { json: JSON.parse(answer.choices[0].message.content), usage: chatUsage(answer) };
  }
  const answer = await respond(url, { text: { format: { type: "json_schema", ...FORM } } });
  return { json: JSON.parse(answer.output_text), usage: usage(answer) };
}

async function forced(url, wire) {
  const own = { name: "verdict", parameters: VERDICT };
  if (isChat(wire)) {
    const choice = { type: "function", function: { name: "verdict" } };
    const answer = await chat(url, { tools: [...TOOLS, { type: "function", function: own }], tool_choice: choice });
    return { json: JSON.parse(answer.choices[0].message.tool_calls[0].function.arguments), usage: chatUsage(answer) };
  }
  const choice = { type: "function", name: "verdict" };
  const answer = await respond(url, { tools: [...FLAT, { type: "function", strict: true, ...own }], tool_choice: choice });
  return { json: JSON.parse(answer.output[0].arguments), usage: usage(answer) };
}

async function short(url, wire) {
  if (isChat(wire)) {
    const answer = await chat(url, { max_completion_tokens: 8 });
    return { truncated: answer.choices[0].finish_reason === "length", usage: chatUsage(answer) };
  }
  const answer = await respond(url, { max_output_tokens: 8 });
  return { truncated: answer.incomplete_details !== null, usage: usage(answer) };
}

async function models(url) {
  const listed = await all(client(url).models.list());
  return { models: listed.map((one) => one.id), model: (await client(url).models.retrieve("demo")).id };
}

async function count(url, wire) {
  if (isChat(wire)) return { count: 1 };
  return { count: (await client(url).responses.inputTokens.count({ model: "demo", input: PROMPT })).input_tokens };
}

await run({ text, stream, silent, tools, structured, forced, short, models, count, error: text, page: text });
