// The Vercel AI SDK with its OpenAI provider: chat completions by `openai.chat`, the Responses API by default.

import { createOpenAI } from "@ai-sdk/openai";
import { embedMany, generateText, Output, stepCountIs, streamText, tool } from "ai";
import { z } from "zod";

import { EMBEDDER, KEY, MODEL, now, refusal, run, streamed } from "./program.mjs";

globalThis.AI_SDK_LOG_WARNINGS = false;
const weather = z.object({ city: z.string(), celsius: z.number().int() });
const tools = {
  get_weather: tool({
    description: "Weather of a city.",
    inputSchema: z.object({ city: z.string() }),
    execute: async () => "21",
  }),
};
const provider = (base) => createOpenAI({ baseURL: base, apiKey: KEY });
const chatModel = (base) => provider(base).chat(MODEL);
const ask = (base, prompt, options = {}) =>
  generateText({ model: chatModel(base), prompt, maxRetries: 0, ...options });

async function called(model) {
  const found = await generateText({ model, prompt: "weather", tools, stopWhen: stepCountIs(3), maxRetries: 0 });
  const call = found.steps[0].toolCalls[0];
  return { name: call.toolName, arguments: call.input, text: found.text };
}

async function refused(base, text) {
  const error = await refusal(() => ask(base, text));
  return {
    kind: error.name,
    status: error.statusCode,
    code: error.data.error.code,
    retry_after: error.responseHeaders["retry-after"] ?? null,
    message: error.message,
  };
}

await run({
  chat: async (base) => ({ text: (await ask(base, "hello")).text }),
  stream: (base) => streamed(streamText({ model: chatModel(base), prompt: "hello", maxRetries: 0 }).textStream),
  tools: (base) => called(chatModel(base)),
  stream_tools: async (base) => {
    const found = streamText({ model: chatModel(base), prompt: "weather", tools, maxRetries: 0 });
    const call = (await found.toolCalls)[0];
    return { name: call.toolName, arguments: call.input };
  },
  structured: async (base) => (await ask(base, "weather", { output: Output.object({ schema: weather }) })).output,
  embeddings: async (base) => {
    const model = provider(base).embedding(EMBEDDER);
    return (await embedMany({ model, values: ["one", "two"], maxRetries: 0 })).embeddings;
  },
  busy: (base) => refused(base, "busy"),
  patience: async (base) => ({ text: (await ask(base, "busy once", { maxRetries: 2 })).text }),
  wrong: (base) => refused(base, "wrong"),
  cancel: async (base) => {
    const leaving = new AbortController();
    const found = streamText({
      model: chatModel(base),
      prompt: "endless",
      maxRetries: 0,
      abortSignal: leaving.signal,
      onError: () => {},
    });
    let read = 0;
    for await (const _ of found.textStream) if (++read === 4) break;
    const left_at = now();
    leaving.abort();
    return { left_at };
  },
  responses: async (base) => ({ text: (await ask(base, "hello", { model: provider(base)(MODEL) })).text }),
  responses_stream: (base) =>
    streamed(streamText({ model: provider(base)(MODEL), prompt: "hello", maxRetries: 0 }).textStream),
  responses_tools: (base) => called(provider(base)(MODEL)),
});
