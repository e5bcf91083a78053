// XQR's sample receiver: the guide's code, to the letter, inside the least of an Express app.
//
// The guide never says what `app` is, so it is made and observed between the sample's head and its
// handler. The handler's express.raw() keeps its default limit of 100 KiB, as the guide has it.
//
//     XQR_WEBHOOK_SECRET=… node xqr.mjs [PORT [CONTROL_PORT]]

// --- The guide's sample -------------------------------------------------------------------------
import crypto from "node:crypto";
import express from "express";

const WEBHOOK_SECRET = process.env.XQR_WEBHOOK_SECRET;
// --- The sample goes on below -------------------------------------------------------------------

import { observe, serve } from "./observer.mjs";

const app = express();
observe(app, (req) => req.body); // the sample's express.raw() leaves the bytes there

// --- The guide's sample -------------------------------------------------------------------------
app.post("/webhooks/xqr", express.raw({ type: "application/json" }), (req, res) => {
  // Verify signature
  const signature = req.headers["x-xqr-signature"];
  const expected = "sha256=" + crypto
    .createHmac("sha256", WEBHOOK_SECRET)
    .update(req.body)
    .digest("hex");

  if (signature !== expected) {
    return res.status(401).send("Invalid signature");
  }

  // Process event
  const event = JSON.parse(req.body);
  switch (event.event) {
    case "link.created":
      console.log("New link:", event.data.short_code);
      break;
    case "link.scanned":
      console.log("Scan from:", event.data.country);
      break;
  }

  res.status(200).send("OK");
});
// --- End of the sample --------------------------------------------------------------------------

await serve(app, process.argv.slice(2));
