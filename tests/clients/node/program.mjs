// How a client's program is spoken to: a line of JSON in, a line of JSON out, until its input ends.
// The same protocol as ../programs/program.py.

import { createInterface } from "node:readline";

export const KEY = "sk-test-of-clients";
export const MODEL = "gpt-4o-mini";
export const EMBEDDER = "text-embedding-3-small";

export const now = () => Date.now() / 1000;

const say = (document) => process.stdout.write(JSON.stringify(document) + "\n");

export async function run(features) {
  for await (const line of createInterface({ input: process.stdin })) {
    const { feature, base } = JSON.parse(line);
    let found;
    try {
      found = { answer: await features[feature](base) };
    } catch (error) {
      found = { failed: String(error?.stack ?? error) };
    }
    say(found);
  }
}

// Join a stream's text; say when its first words have come.
export async function streamed(pieces) {
  const words = [];
  for await (const piece of pieces) {
    if (piece) {
      if (words.length === 0) say({ heard: true });
      words.push(piece);
    }
  }
  return { text: words.join(""), pieces: words.length };
}

// Run what must be refused and return the error.
export async function refusal(asking) {
  try {
    await asking();
  } catch (error) {
    return error;
  }
  throw new Error("it was not refused");
}
