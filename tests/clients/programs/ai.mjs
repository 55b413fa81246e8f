// The AI SDK, with its providers for every wire. `chat` is its provider for any service that speaks OpenAI's Chat wire.

import { createAnthropic } from "@ai-sdk/anthropic";
import { createGoogleGenerativeAI } from "@ai-sdk/google";
import { createOpenAI } from "@ai-sdk/openai";
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { Output, generateText, jsonSchema, stepCountIs, streamText, tool } from "ai";
import { ADD, KEY, PROMPT, SHOUT, VERDICT, run, used } from "./cells.mjs";

function model(url, wire) {
  const settings = { apiKey: KEY, baseURL: `${url}/v1` };
  switch (wire) {
    case "openai_chat":
      return createOpenAI(settings).chat("demo");
    case "compatible":
      return createOpenAICompatible({ ...settings, name: "demo", includeUsage: true, supportsStructuredOutputs: true })("demo");
    case "openai_responses":
      return createOpenAI(settings).responses("demo");
    case "anthropic_messages":
      return createAnthropic(settings)("demo");
    default:
      return createGoogleGenerativeAI({ apiKey: KEY, baseURL: `${url}/v1beta` })("demo");
  }
}

const asked = (url, wire, more) => ({
  model: model(url, wire),
  prompt: PROMPT,
  maxRetries: 0,
  providerOptions: { openai: { store: false } },
  onError: () => {},
  ...more,
});
const usage = ({ inputTokens, outputTokens }) => used(inputTokens, outputTokens);

async function text(url, wire) {
  const answer = await generateText(asked(url, wire));
  return { text: answer.text, usage: usage(answer.totalUsage) };
}

async function stream(url, wire) {
  const answer = streamText(asked(url, wire));
  return { text: await answer.text, usage: usage(await answer.totalUsage) };
}

async function tools(url, wire) {
  const calls = [];
  const own = (name, schema) =>
    tool({
      inputSchema: jsonSchema(schema),
      execute: async (input) => {
        calls.push([name, input]);
        return "ok";
      },
    });
  const set = { add: own("add", ADD), shout: own("shout", SHOUT) };
  const answer = await generateText(asked(url, wire, { tools: set, stopWhen: stepCountIs(3) }));
  return { calls, text: answer.text, usage: usage(answer.totalUsage) };
}

async function structured(url, wire) {
  const answer = await generateText(asked(url, wire, { output: Output.object({ schema: jsonSchema(VERDICT) }) }));
  return { json: answer.output, usage: usage(answer.totalUsage) };
}

async function forced(url, wire) {
  const set = { verdict: tool({ inputSchema: jsonSchema(VERDICT) }) };
  const answer = await generateText(asked(url, wire, { tools: set, toolChoice: { type: "tool", toolName: "verdict" } }));
  return { json: answer.toolCalls[0].input, usage: usage(answer.totalUsage) };
}

async function short(url, wire) {
  const answer = await generateText(asked(url, wire, { maxOutputTokens: 8 }));
  return { truncated: answer.finishReason === "length", usage: usage(answer.totalUsage) };
}

await run({ text, stream, silent: stream, tools, structured, forced, short, error: text, page: text });
