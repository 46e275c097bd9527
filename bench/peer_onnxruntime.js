// peer_onnxruntime - onnxruntime on the nets that `export` wrote: one sample, and batches of 64.
// Calls the addon under onnxruntime-node's promises, whose turns of the event loop would count
// against it; what a call costs all the same is measured on a net that does nothing ("identity").
//
// usage: peer_onnxruntime.js FOLDER infer NAME [THREADS]   or   peer_onnxruntime.js FOLDER -
// onnxruntime-node in NODE_PATH; BENCH_SECONDS as in measure.h, whose requests these are.
const fs = require("fs");
const path = require("path");
const readline = require("readline");
const ort = require("onnxruntime-node");
const home = path.dirname(require.resolve("onnxruntime-node"));
const { binding, initOrt } = require(path.join(home, "binding.js"));

const folder = process.argv[2];
const budget = Number(process.env.BENCH_SECONDS) || 0.2;
const roundsMax = 5, batch = 64;

const now = () => Number(process.hrtime.bigint()) * 1e-9;

function timeCalls(call, calls) {
  const start = now();
  for (let i = 0; i < calls; i++) call();
  return (now() - start) / calls;
}

// As measure_call_s of measure.c.
function measure(call) {
  call();
  let once = timeCalls(call, 1);
  const warm = Math.floor(budget / roundsMax / once);
  if (warm > 1) once = timeCalls(call, warm);
  const rounds = Math.min(roundsMax, 1 + Math.floor(budget / once));
  const calls = Math.floor(budget / rounds / once) + 1;
  const seconds = Array.from({ length: rounds }, () => timeCalls(call, calls));
  return seconds.sort((a, b) => a - b)[rounds >> 1];
}

// A protobuf field of bytes, and one of a number below 128.
const bytes = (field, ...parts) => {
  const body = Buffer.concat(parts.map((part) => Buffer.from(part)));
  return Buffer.concat([Buffer.from([(field << 3) | 2, body.length]), body]);
};
const number = (field, value) => Buffer.from([field << 3, value]);

// y = Identity(x) on one float, as an ONNX model.
function identityModel() {
  const type = bytes(2, bytes(1, number(1, 1), bytes(2, bytes(1, number(1, 1)))));
  const graph = bytes(7, bytes(1, bytes(1, "x"), bytes(2, "scores"), bytes(4, "Identity")),
    bytes(2, "g"), bytes(11, bytes(1, "x"), type), bytes(12, bytes(1, "scores"), type));
  return Buffer.concat([number(1, 8), bytes(8, number(2, 13)), graph]);
}

const sessions = new Map();
function openSession(name, threads) {
  const key = `${name}/${threads}`;
  if (sessions.has(key)) return sessions.get(key);
  const file = name === "identity" ? identityModel()
    : fs.readFileSync(path.join(folder, `${name}.onnx`));
  const session = new binding.InferenceSession();
  session.loadModel(file.buffer, file.byteOffset, file.byteLength, {
    intraOpNumThreads: threads, interOpNumThreads: 1, executionMode: "sequential",
    graphOptimizationLevel: "all",
  });
  sessions.set(key, session);
  return session;
}

function secondsOf(name, samples, threads) {
  const session = openSession(name, threads);
  const input = session.inputMetadata[0];
  const dims = name === "identity" ? [1] : [samples, ...input.shape.slice(1)];
  const x = new Float32Array(dims.reduce((a, b) => a * b, 1)).map(() => Math.random() * 2 - 1);
  const feeds = { [input.name]: new ort.Tensor("float32", x, dims) };
  return measure(() => session.run(feeds, { scores: null }, {}));
}

function answer(line) {
  const [kind, name, wanted] = line.trim().split(/\s+/);
  if (kind !== "infer" || !name) return false;
  for (const threads of [1, 2]) {
    if (Number(wanted || 0) !== 0 && Number(wanted) !== threads) continue;
    const print = (metric, value) =>
      console.log(`onnxruntime,${threads},infer,${name},${metric},${value.toPrecision(6)}`);
    print("us", secondsOf(name, 1, threads) * 1e6);
    if (name !== "identity") print("samples/s", batch / secondsOf(name, batch, threads));
  }
  return true;
}

initOrt();
if (process.argv[3] === "-") {
  readline.createInterface({ input: process.stdin }).on("line", (line) => {
    if (!answer(line)) console.error(`cannot answer: ${line}`);
    console.log("");
  });
} else if (!answer(process.argv.slice(3).join(" "))) {
  console.error("usage: peer_onnxruntime.js FOLDER infer NAME [THREADS]");
  process.exit(1);
}
