// Prints, one JSON object a line, what the official JavaScript SDK sends for one CloudEvent: each
// mode of the HTTP binding, and both of the Kafka binding.
//
// Usage: node cloudevents.mjs WORKSPACE_ID
import { CloudEvent, HTTP, Kafka } from "cloudevents";

const event = new CloudEvent({
  id: "evt_sdk",
  type: "qr.scanned",
  source: "https://example.com/scanner",
  time: "2026-03-15T10:00:00.000Z",
  datacontenttype: "application/json",
  workspaceid: process.argv[2],
  data: { city: "Wien, Köln", n: 1 },
});

function sent(mode, headers, body) {
  const text = typeof body === "string" ? body : JSON.stringify(body);
  console.log(JSON.stringify({ mode, headers, body: text }));
}

for (const message of [HTTP.binary(event), HTTP.structured(event)]) {
  sent("http", message.headers, message.body);
}
// The SDK reads batches and has no call that writes one: an array of its events is one.
sent("http-batch", { "content-type": "application/cloudevents-batch+json" }, [event]);
for (const message of [Kafka.binary(event), Kafka.structured(event)]) {
  sent("kafka", message.headers, message.value);
}
