// Does onnxruntime answer what strided answers? For every model the daemon serves: downloads its
// ONNX file, sends the same random inputs to /predict and to onnxruntime, compares all scores.
//
// usage: node onnx_check.js http://127.0.0.1:8080   (onnxruntime-node in NODE_PATH)
// Exit status 1 when any score differs by more than 1e-5, or nothing was compared.
const ort = require("onnxruntime-node");
const base = process.argv[2];
const samples = 16, tolerance = 1e-5;

async function get(path, type) {
  const reply = await fetch(base + path);
  if (!reply.ok) throw new Error(`${path}: ${reply.status} ${await reply.text()}`);
  return type === "json" ? reply.json() : reply.arrayBuffer();
}

async function check(model) {
  const { input } = await get(`/models/${model}/summary`, "json");
  const count = input.reduce((a, b) => a * b, 1);
  const x = Float32Array.from({ length: samples * count }, () => Math.random());
  const session = await ort.InferenceSession.create(
    Buffer.from(await get(`/models/${model}/onnx`)));
  const outputs = await session.run(
    { [session.inputNames[0]]: new ort.Tensor("float32", x, [samples, ...input]) });
  const expected = outputs[session.outputNames[0]].data;
  const reply = await fetch(`${base}/models/${model}/predict`, {
    method: "POST", body: x,
    headers: { "Content-Type": "application/octet-stream", Accept: "application/octet-stream" },
  });
  if (!reply.ok) throw new Error(`predict: ${reply.status} ${await reply.text()}`);
  const scores = new Float32Array(await reply.arrayBuffer());
  if (scores.length !== expected.length)
    throw new Error(`${scores.length} scores from strided, ${expected.length} from onnxruntime`);
  const worst = scores.reduce((m, s, i) => Math.max(m, Math.abs(s - expected[i])), 0);
  console.log(`${model}: ${scores.length} scores, largest difference ${worst.toExponential(2)}`);
  return worst <= tolerance;
}

(async () => {
  const { models } = await get("/models", "json");
  let good = models.length > 0;
  for (const { name } of models) good = (await check(name)) && good;
  process.exit(good ? 0 : 1);
})().catch((error) => { console.error(error.message); process.exit(1); });
