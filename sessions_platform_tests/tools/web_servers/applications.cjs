// The applications in Node whose requests are logged: node applications.cjs NAME PORT FOLDER-WITH-NODE_MODULES
const [name, port, folder] = process.argv.slice(2);
const load = (module) => require(`${folder}/node_modules/${module}`);
const SLOW_MS = 2500;
const late = (url, answer) => (url.includes("slow") ? setTimeout(answer, SLOW_MS) : answer());

if (name === "morgan") {
  const app = load("express")();
  app.use(load("morgan")("combined"));
  app.use((request, response) => late(request.url, () => response.send("ok")));
  app.listen(Number(port), "127.0.0.1");
} else if (name === "pino-http") {
  const log = load("pino-http")();
  require("node:http")
    .createServer((request, response) => {
      log(request, response);
      request.log.info("a line of the program itself");
      late(request.url, () => response.end("ok"));
    })
    .listen(Number(port), "127.0.0.1");
} else {
  const planned = new Error("planned");
  planned.stack = "Error: planned"; // no paths of this machine
  const app = load("fastify")({ logger: true });
  app.setNotFoundHandler((request, reply) => {
    late(request.url, () => (request.url.includes("dav") ? reply.send(planned) : reply.send("ok")));
  });
  app.listen({ port: Number(port), host: "127.0.0.1" });
}
