// peer_node - the daemon's predictions by Node's http and onnxruntime-node, as their users write
// them: raw float32, JSON and PNG bodies, the daemon's paths and its replies.
//
// usage: peer_node.js FOLDER PORT WORKERS THREADS     FOLDER: NAME.onnx of each net in NETS
// WORKERS above 1: that many processes (cluster). THREADS: of onnxruntime for one answer.
const cluster = require("cluster");
const fs = require("fs");
const http = require("http");
const path = require("path");

const NETS = { lenet: [1, 1, 28, 28], "voxel-cnn": [1, 1, 24, 24, 24] };
const [folder, port, workers, threads] = process.argv.slice(2);

// Nested or flat numbers; several times as quick as flat() and from().
function fill(x, at, values) {
  for (const value of values) {
    if (Array.isArray(value)) at = fill(x, at, value);
    else x[at++] = value;
  }
  return at;
}

function decode(type, body, size) {
  if (type === "application/json") {
    const x = new Float32Array(size);
    fill(x, 0, JSON.parse(body.toString()).inputs);
    return x;
  }
  if (type === "image/png") {
    const { data } = require("pngjs").PNG.sync.read(body);
    return Float32Array.from({ length: size }, (_, i) => data[4 * i] / 255); // grey as RGBA
  }
  if (body.byteOffset % 4) body = Buffer.from(Uint8Array.from(body).buffer);
  return new Float32Array(body.buffer, body.byteOffset, body.length / 4);
}

function document(name, scores, all) {
  const ranked = Array.from(scores, (score, index) => ({ label: String(index), index, score }))
    .sort((a, b) => b.score - a.score);
  const prediction = { ...ranked[0], top: ranked.slice(0, 3) };
  if (all) prediction.scores = Array.from(scores);
  return JSON.stringify({ model: name, version: 1, predictions: [prediction] });
}

async function predict(net, type, body, all) {
  const x = decode(type, body, net.size);
  const { scores } = await net.session.run(
    { [net.input]: new net.ort.Tensor("float32", x, net.shape) });
  return document(net.name, scores.data, all);
}

function send(response, status, type, text) {
  response.writeHead(status, { "Content-Type": type, "Content-Length": Buffer.byteLength(text) });
  response.end(text);
}

function serve(nets) {
  return (request, response) => {
    const [, models, name, verb] = request.url.split(/[/?]/);
    if (request.url === "/health/live") return send(response, 200, "application/json", "{}");
    const net = nets[name];
    if (models !== "models" || verb !== "predict" || !net)
      return send(response, 404, "text/plain", "not found");
    const parts = [];
    request.on("data", (part) => parts.push(part));
    request.on("end", () => {
      const body = parts.length === 1 ? parts[0] : Buffer.concat(parts);
      predict(net, request.headers["content-type"], body, request.url.endsWith("?scores=all"))
        .then((text) => send(response, 200, "application/json", text))
        .catch((error) => send(response, 400, "text/plain", error.message));
    });
  };
}

async function work() {
  const ort = require("onnxruntime-node");
  const nets = {};
  for (const [name, shape] of Object.entries(NETS)) {
    const session = await ort.InferenceSession.create(path.join(folder, `${name}.onnx`), {
      intraOpNumThreads: Number(threads), interOpNumThreads: 1, executionMode: "sequential",
      graphOptimizationLevel: "all",
    });
    const size = shape.reduce((a, b) => a * b, 1);
    nets[name] = { ort, name, session, shape, size, input: session.inputNames[0] };
  }
  http.createServer(serve(nets)).listen(Number(port), "127.0.0.1");
}

if (cluster.isPrimary && Number(workers) > 1)
  for (let i = 0; i < Number(workers); i++) cluster.fork();
else
  work();
