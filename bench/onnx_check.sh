#!/usr/bin/env bash
# Compares the scores of every model a fresh daemon serves with onnxruntime's on the exported file:
# trains a few epochs of several nets on synthetic data, then runs bench/onnx_check.js.
set -eu
cd "$(dirname "$0")/.."
bench/onnxruntime.sh
folder=$(mktemp -d)
build/strided serve --listen 127.0.0.1:0 --data-dir "$folder/data" --no-bootstrap \
    >"$folder/ready" 2>"$folder/log" &
daemon=$!
trap 'kill $daemon; wait $daemon; rm -rf "$folder"' EXIT
until grep -q ready "$folder/ready"; do sleep 0.05; done
base=$(awk '{print $NF}' "$folder/ready")
field() { python3 -c "import json,sys; print(json.load(sys.stdin)$1)"; }

put() { curl -sf -X PUT "$base/datasets/$1" -d "{\"generator\":\"$1\",\"train\":400,\"test\":100}" >/dev/null; }
# train MODEL DATASET ARCHITECTURE-JSON
train() {
    id=$(curl -s --fail-with-body "$base/jobs" -d "{\"model\":\"$1\",\"dataset\":\"$2\",\"architecture\":$3,
        \"epochs\":2}" | field "['id']")
    while state=$(curl -sf "$base/jobs/$id" | field "['state']"); [ "$state" != succeeded ]; do
        case $state in failed | cancelled) curl -s "$base/jobs/$id" >&2; exit 1 ;; esac
        sleep 0.05
    done
}
put shapes
put color-shapes
for preset in shapes-mlp shapes-tiny shapes-cnn mnist-cnn scratch lenet; do
    train $preset shapes "\"$preset\""
done
train shapes-color color-shapes '"shapes-color"'
# Every other layer in one residual net.
train residual color-shapes '{"layers":[
    {"type":"conv2d","filters":8,"kernel":3,"padding":"same","bias":false,"name":"a"},
    {"type":"batch_norm","name":"n"},{"type":"leaky_relu","name":"r"},
    {"type":"conv2d","filters":8,"kernel":[3,5],"padding":"same","groups":2,"name":"b"},
    {"type":"sigmoid","name":"s"},
    {"type":"add","inputs":["r","s"],"name":"sum"},
    {"type":"conv2d","filters":4,"kernel":3,"stride":2,"dilation":2,"padding":2,"inputs":["sum"],"name":"c"},
    {"type":"avg_pool2d","size":2,"stride":2,"inputs":["sum"],"name":"p"},
    {"type":"avg_pool2d","size":3,"stride":2,"padding":1,"inputs":["sum"],"name":"q"},
    {"type":"concat","inputs":["c","p","q"],"name":"cat"},
    {"type":"max_pool2d","size":3,"stride":2,"padding":1},{"type":"dropout","rate":0.25},
    {"type":"global_avg_pool","name":"g"},{"type":"flatten"},{"type":"dense","units":2},
    {"type":"log_softmax"}]}'
NODE_PATH=build/peers/node_modules node bench/onnx_check.js "$base"
