// The oracle of shared/rendering/javascript.py: JavaScript itself.
//
// Reads one base64 text a line and answers each with one line: "=" and the base64 of
// JSON.stringify(JSON.parse(text)), or "!" and the error's message when the bytes are not UTF-8 or
// JSON.parse refuses them. Ends when its input does.
import { createInterface } from "node:readline";

const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

function answer(line) {
  try {
    const text = utf8.decode(Buffer.from(line, "base64"));
    return "=" + Buffer.from(JSON.stringify(JSON.parse(text)), "utf8").toString("base64");
  } catch (error) {
    return "!" + String(error.message).replace(/\s+/g, " ");
  }
}

createInterface({ input: process.stdin }).on("line", (line) => {
  process.stdout.write(answer(line) + "\n");
});
