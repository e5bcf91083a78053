// QR3's sample receiver: the guide's code between the two rules, in the least of an Express app.
//
// The guide's sample is TypeScript and Node 20 cannot strip types, so the type annotations are
// removed: `: string` of the three parameters, `: boolean` of the function, and `as string` behind
// the header. The page has lost its line breaks; they are put back. Nothing else differs.
//
//     QR3_WEBHOOK_SECRET=… node qr3.mjs [PORT [CONTROL_PORT]]
import express from "express";
import { observe, serve } from "./observer.mjs";

// --- The guide's sample -------------------------------------------------------------------------
import crypto from "crypto";

function verifySignature(
  payload,
  signature,
  secret
) {
  const expected = crypto
    .createHmac("sha256", secret)
    .update(payload)
    .digest("hex");

  const received = signature.replace("sha256=", "");

  return crypto.timingSafeEqual(
    Buffer.from(expected, "hex"),
    Buffer.from(received, "hex")
  );
}
// --- The sample goes on below -------------------------------------------------------------------

const app = express();
observe(app, (req) => req.bodyBytes);
// The sample reads `req.body` as parsed JSON, so it stands behind express.json(); the default limit
// of 100 KiB is raised to hold the largest webhook.
app.use(express.json({ limit: "2mb", verify: (req, _res, bytes) => (req.bodyBytes = bytes) }));

// --- The guide's sample -------------------------------------------------------------------------
// In Express:
app.post("/webhooks/qr3", (req, res) => {
  const signature = req.headers["x-qr3-signature"];
  const valid = verifySignature(
    JSON.stringify(req.body),
    signature,
    process.env.QR3_WEBHOOK_SECRET
  );

  if (!valid) return res.status(401).json({ error: "Invalid signature" });

  const event = req.body;
  console.log(event.type, event.data);
  res.json({ received: true });
});
// --- End of the sample --------------------------------------------------------------------------

await serve(app, process.argv.slice(2));
