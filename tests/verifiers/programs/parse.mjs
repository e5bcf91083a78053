// CloudEvents in JavaScript, with the official SDK: what arrives, and what a producer makes.
//
// Reads cases from stdin, one JSON object a line, and prints a JSON object for each. A case with
// `headers` and `body` (base64) is a request: printed are the event's attributes and its `data`, or
// `error`. A case with `attributes` and `data` is an event to produce: printed are the Kafka
// messages `binary` and `structured`, with `headers` and `value` (base64).
import { createInterface } from "node:readline";
import { CloudEvent, HTTP, Kafka, ValidationError } from "cloudevents";

function parsed({ headers, body }) {
  try {
    const event = HTTP.toEvent({ headers, body: Buffer.from(body, "base64").toString() });
    event.validate(); // reading alone forgives what is missing
    return event.toJSON();
  } catch (error) {
    if (error instanceof ValidationError || error instanceof SyntaxError) {
      return { error: error.message };
    }
    throw error;
  }
}

function shown({ headers, value }) {
  const bytes = typeof value === "string" ? value : JSON.stringify(value);
  return { headers, value: Buffer.from(bytes).toString("base64") };
}

function produced({ attributes, data }) {
  const event = new CloudEvent({ ...attributes, data });
  return { binary: shown(Kafka.binary(event)), structured: shown(Kafka.structured(event)) };
}

for await (const line of createInterface({ input: process.stdin })) {
  const given = JSON.parse(line);
  console.log(JSON.stringify("body" in given ? parsed(given) : produced(given)));
}
