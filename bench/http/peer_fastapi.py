#!/usr/bin/python3
"""peer_fastapi - the daemon's predictions by FastAPI, uvicorn and PyTorch, in the quickest way their
manuals show: traced and frozen nets, ujson both ways, uvloop and httptools, no access log.

usage: peer_fastapi.py FOLDER PORT WORKERS THREADS     FOLDER: NAME.onnx of lenet and voxel-cnn
The weights are those of the ONNX files. Set OMP_NUM_THREADS to THREADS as well.
"""
import io
import os
import pathlib
import sys

import fastapi
import numpy
import onnx
import onnx.numpy_helper
import PIL.Image
import torch
import ujson
import uvicorn

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
import peer_torch

NAMES = ("lenet", "voxel-cnn")
FOLDER, THREADS = "PEER_FOLDER", "PEER_THREADS"  # what workers are told, by their environment
app = fastapi.FastAPI()
nets = {}


class Scores(torch.nn.Module):
    """Probabilities; of a net that ends in log-softmax, too."""

    def __init__(self, net):
        super().__init__()
        self.net = net

    def forward(self, x):
        return torch.softmax(self.net(x), 1)


def load(name):
    """The net of peer_torch.py with the weights of the file, which lie in the same order."""
    make, shape, _, _ = peer_torch.NETS[name]
    net = make()
    model = onnx.load(f"{os.environ[FOLDER]}/{name}.onnx")
    weights = {tensor.name: onnx.numpy_helper.to_array(tensor)
               for tensor in model.graph.initializer}
    used = [weights[i] for node in model.graph.node for i in node.input
            if i in weights and node.op_type in ("Conv", "Gemm")]
    for parameter, value in zip(net.parameters(), used, strict=True):
        turned = value if value.shape == tuple(parameter.shape) else value.T
        parameter.data = torch.from_numpy(turned.copy()).reshape(parameter.shape)
    scores = Scores(net).eval()
    return torch.jit.freeze(torch.jit.trace(scores, torch.zeros(1, *shape))), (1, *shape)


@app.on_event("startup")
def start():
    torch.set_num_threads(int(os.environ[THREADS]))
    for name in NAMES:
        nets[name] = load(name)


def decode(content_type, body):
    if content_type == "application/json":
        return torch.tensor(ujson.loads(body)["inputs"], dtype=torch.float32)
    if content_type == "image/png":
        picture = numpy.asarray(PIL.Image.open(io.BytesIO(body)), numpy.float32)
        return torch.from_numpy(picture / 255)
    return torch.frombuffer(bytearray(body), dtype=torch.float32)


@app.get("/health/live")
async def live():
    return fastapi.Response(b"{}", media_type="application/json")


@app.post("/models/{name}/predict")
async def predict(name: str, request: fastapi.Request):
    net, shape = nets[name]
    x = decode(request.headers["content-type"], await request.body()).view(shape)
    with torch.inference_mode():
        scores = net(x)[0].tolist()
    order = sorted(range(len(scores)), key=scores.__getitem__, reverse=True)
    top = [{"label": str(i), "index": i, "score": scores[i]} for i in order[:3]]
    prediction = {**top[0], "top": top}
    if request.url.query == "scores=all":
        prediction["scores"] = scores
    document = {"model": name, "version": 1, "predictions": [prediction]}
    return fastapi.Response(ujson.dumps(document), media_type="application/json")


if __name__ == "__main__":
    os.environ[FOLDER], port, workers, os.environ[THREADS] = sys.argv[1:]
    uvicorn.run("peer_fastapi:app", port=int(port), workers=int(workers), access_log=False,
                loop="uvloop", http="httptools", log_level="warning")
