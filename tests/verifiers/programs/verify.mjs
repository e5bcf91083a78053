// Receivers in JavaScript: the published library for Standard Webhooks, and Node's own ed25519 for
// `v1a`, which the library does not know.
//
// Reads cases from stdin, one JSON object a line: `headers`, `body` (base64), and `secret` or
// `jwks` (the document at /.well-known/webhooks/{id}/jwks.json). Prints a line for each:
// `accepted`, or `refused: ` and the reason.
import { createPublicKey, verify } from "node:crypto";
import { createInterface } from "node:readline";
import { Webhook, WebhookVerificationError } from "standardwebhooks";

const TOLERANCE_S = 5 * 60;

function refuse(reason) {
  throw new WebhookVerificationError(reason);
}

function verifyV1a(jwks, headers, body) {
  const { "webhook-id": id, "webhook-timestamp": timestamp, "webhook-signature": list } = headers;
  if (!id || !timestamp || !list) refuse("missing required headers");
  const ageS = Date.now() / 1000 - Number(timestamp);
  if (!(Math.abs(ageS) <= TOLERANCE_S)) refuse(ageS > 0 ? "too old" : "too new");
  const signed = Buffer.concat([Buffer.from(`${id}.${timestamp}.`), body]);
  const signatures = list.split(" ").filter((one) => one.startsWith("v1a,"));
  const keys = jwks.keys.map((key) => createPublicKey({ key, format: "jwk" }));
  const matches = signatures.some((one) =>
    keys.some((key) => verify(null, signed, key, Buffer.from(one.slice("v1a,".length), "base64"))),
  );
  if (!matches) refuse("no matching signature found");
}

function verdict({ headers, body, secret, jwks }) {
  try {
    const bytes = Buffer.from(body, "base64");
    if (jwks) verifyV1a(jwks, headers, bytes);
    else new Webhook(secret).verify(bytes, headers);
  } catch (error) {
    if (error instanceof WebhookVerificationError) return `refused: ${error.message}`;
    throw error;
  }
  return "accepted";
}

for await (const line of createInterface({ input: process.stdin })) {
  console.log(verdict(JSON.parse(line)));
}
