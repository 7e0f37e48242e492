// The official client for Node.

import OpenAI from "openai";
import { zodResponseFormat } from "openai/helpers/zod";
import { z } from "zod";

import { EMBEDDER, KEY, MODEL, now, refusal, run, streamed } from "./program.mjs";

const weather = z.object({ city: z.string(), celsius: z.number().int() });
const parameters = { type: "object", properties: { city: { type: "string" } }, required: ["city"] };
const tool = { name: "get_weather", description: "Weather of a city.", parameters };
const tools = [{ type: "function", function: tool }];
const said = (content) => [{ role: "user", content }];
const client = (base, maxRetries = 0) => new OpenAI({ baseURL: base, apiKey: KEY, maxRetries });
const ask = (base, text, options = {}, retries = 0) =>
  client(base, retries).chat.completions.create({ model: MODEL, messages: said(text), ...options });

async function refused(base, text) {
  const error = await refusal(() => ask(base, text));
  return {
    kind: error.constructor.name,
    status: error.status,
    code: error.code,
    retry_after: error.headers.get("retry-after"),
    message: error.message,
  };
}

async function* words(events, read) {
  for await (const event of events) yield read(event);
}

await run({
  chat: async (base) => ({ text: (await ask(base, "hello")).choices[0].message.content }),
  stream: async (base) =>
    streamed(words(await ask(base, "hello", { stream: true }), (event) => event.choices[0].delta.content)),
  tools: async (base) => {
    const first = (await ask(base, "weather", { tools })).choices[0].message;
    const call = first.tool_calls[0];
    const messages = [...said("weather"), first, { role: "tool", tool_call_id: call.id, content: "21" }];
    const last = (await ask(base, "", { tools, messages })).choices[0].message;
    return { name: call.function.name, arguments: JSON.parse(call.function.arguments), text: last.content };
  },
  stream_tools: async (base) => {
    const events = client(base).chat.completions.stream({ model: MODEL, messages: said("weather"), tools });
    const call = (await events.finalChatCompletion()).choices[0].message.tool_calls[0];
    return { name: call.function.name, arguments: JSON.parse(call.function.arguments) };
  },
  structured: async (base) => {
    const response_format = zodResponseFormat(weather, "weather");
    const asked = { model: MODEL, messages: said("weather"), response_format };
    return (await client(base).chat.completions.parse(asked)).choices[0].message.parsed;
  },
  embeddings: async (base) => {
    const found = await client(base).embeddings.create({ model: EMBEDDER, input: ["one", "two"] });
    return found.data.map((item) => item.embedding);
  },
  busy: (base) => refused(base, "busy"),
  patience: async (base) => ({ text: (await ask(base, "busy once", {}, 2)).choices[0].message.content }),
  wrong: (base) => refused(base, "wrong"),
  cancel: async (base) => {
    const events = await ask(base, "endless", { stream: true });
    let read = 0;
    for await (const _ of events) if (++read === 4) break;
    const left_at = now();
    events.controller.abort();
    return { left_at };
  },
  responses: async (base) => ({
    text: (await client(base).responses.create({ model: MODEL, input: "hello" })).output_text,
  }),
  responses_stream: async (base) => {
    const events = await client(base).responses.create({ model: MODEL, input: "hello", stream: true });
    return streamed(words(events, (event) => (event.type === "response.output_text.delta" ? event.delta : "")));
  },
  responses_tools: async (base) => {
    const flat = [{ type: "function", strict: false, ...tool }];
    const asking = client(base).responses;
    const first = await asking.create({ model: MODEL, input: said("weather"), tools: flat });
    const call = first.output[0];
    const result = { type: "function_call_output", call_id: call.call_id, output: "21" };
    const input = [...said("weather"), ...first.output, result];
    const last = await asking.create({ model: MODEL, input, tools: flat });
    return { name: call.name, arguments: JSON.parse(call.arguments), text: last.output_text };
  },
});
