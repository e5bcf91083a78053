// What the sample receivers share: the least around a guide's sample that lets a test look on.
//
// `observe(app, bodyOf)` is mounted BEFORE the sample code and changes nothing that it sees. It
// notes each request when it has been answered: headers as received (a flat list of names and
// values), the bytes of the body, and the status that the sample answered with. `serve(app, ports)`
// listens, on the ports of the command line or any free ones, and prints ONE line of JSON on
// stdout: {"port": ..., "control_port": ...}; what the sample prints comes below it. On the control
// port, GET /requests?after=N answers with the requests from the Nth on.
import { createServer } from "node:http";

const HOST = "127.0.0.1";
const answered = [];

export function observe(app, bodyOf) {
  app.use((req, res, next) => {
    const arrived_ms = Date.now();
    res.on("close", () => {
      answered.push({
        arrived_ms,
        path: req.originalUrl,
        headers: req.rawHeaders,
        body: (bodyOf(req) ?? Buffer.alloc(0)).toString("base64"),
        status: res.writableFinished ? res.statusCode : null,
      });
    });
    next();
  });
}

export async function serve(app, [port = 0, controlPort = 0]) {
  const control = createServer((req, res) => {
    const after = Number(new URL(req.url, "http://control").searchParams.get("after"));
    res.setHeader("Content-Type", "application/json");
    res.end(JSON.stringify(answered.slice(after)));
  });
  const ports = {
    port: await listening(createServer(app), Number(port)),
    control_port: await listening(control, Number(controlPort)),
  };
  process.stdout.write(JSON.stringify(ports) + "\n");
}

function listening(server, port) {
  return new Promise((resolve, reject) => {
    server.once("error", reject);
    server.listen(port, HOST, () => resolve(server.address().port));
  });
}
