// Ollama's own client for Node. The gateway answers what it asks about models.

import { Ollama } from "ollama";
import { run } from "./cells.mjs";

async function models(url) {
  const client = new Ollama({ host: url });
  if (!(await client.show({ model: "demo" })).capabilities) throw new Error("no capabilities");
  const listed = (await client.list()).models.map((one) => one.model);
  return { models: listed, model: (await client.ps()).models[0].model };
}

await run({ models });
