// Google's own client for Node.

import { GoogleGenAI } from "@google/genai";
import { ADD, KEY, PROMPT, SHOUT, VERDICT, all, run, total, used } from "./cells.mjs";

const FUNCTIONS = [
  { name: "add", parametersJsonSchema: ADD },
  { name: "shout", parametersJsonSchema: SHOUT },
];

const client = (url, apiVersion = "v1beta") =>
  new GoogleGenAI({ apiKey: KEY, apiVersion, httpOptions: { baseUrl: url, apiVersion } });
const asked = (config, contents = PROMPT) => ({ model: "demo", contents, config });
const ask = (url, config, contents) => client(url).models.generateContent(asked(config, contents));
const usage = ({ usageMetadata }) => used(usageMetadata.promptTokenCount, usageMetadata.candidatesTokenCount);

async function text(url) {
  const answer = await ask(url);
  return { text: answer.text, usage: usage(answer) };
}

async function alpha(url) {
  const answer = await client(url, "v1alpha").models.generateContent(asked());
  return { text: answer.text, usage: usage(answer) };
}

async function stream(url) {
  const chunks = await all(await client(url).models.generateContentStream(asked()));
  return { text: chunks.map((chunk) => chunk.text ?? "").join(""), usage: usage(chunks.at(-1)) };
}

async function tools(url) {
  const config = { tools: [{ functionDeclarations: FUNCTIONS }] };
  const first = await ask(url, config);
  const results = first.functionCalls.map(({ id, name }) => ({
    functionResponse: { id, name, response: { result: "ok" } },
  }));
  const history = [{ role: "user", parts: [{ text: PROMPT }] }, first.candidates[0].content, { role: "user", parts: results }];
  const second = await ask(url, config, history);
  const calls = first.functionCalls.map(({ name, args }) => [name, args]);
  return { calls, text: second.text, usage: total(usage(first), usage(second)) };
}

async function structured(url) {
  const answer = await ask(url, { responseMimeType: "application/json", responseJsonSchema: VERDICT });
  return { json: JSON.parse(answer.text), usage: usage(answer) };
}

async function forced(url) {
  const functionDeclarations = [...FUNCTIONS, { name: "verdict", parametersJsonSchema: VERDICT }];
  const functionCallingConfig = { mode: "ANY", allowedFunctionNames: ["verdict"] };
  const answer = await ask(url, { tools: [{ functionDeclarations }], toolConfig: { functionCallingConfig } });
  return { json: answer.functionCalls[0].args, usage: usage(answer) };
}

async function short(url) {
  const answer = await ask(url, { maxOutputTokens: 8 });
  return { truncated: answer.candidates[0].finishReason === "MAX_TOKENS", usage: usage(answer) };
}

async function models(url) {
  const listed = await all(await client(url, "v1").models.list());
  const own = await client(url).models.get({ model: "demo" });
  const plain = (name) => name.replace(/^models\//, "");
  return { models: listed.map((one) => plain(one.name)), model: plain(own.name) };
}

const count = async (url) => ({ count: (await client(url).models.countTokens({ model: "demo", contents: PROMPT })).totalTokens });

await run({ text, alpha, stream, silent: stream, tools, structured, forced, short, models, count, error: text, page: text });
