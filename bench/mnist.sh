#!/usr/bin/env bash
# The whole chain on real digits, with curl alone: load MNIST, train `lenet` and `mnist-cnn` (batch
# 150, 5 epochs, Adam .001), and hold the results to what PyTorch reaches; then predict pictures of
# test digits as a person would draw them: dark on light, five times as large.
# Needs `make data` and a built daemon. Exit status 1 when a figure is missed. SEED=0 by default.
set -eu
cd "$(dirname "$0")/.."
seed=${SEED:-0}
folder=$(mktemp -d)
build/strided serve --listen 127.0.0.1:0 --data-dir "$folder/data" --no-bootstrap \
    >"$folder/ready" 2>"$folder/log" &
daemon=$!
trap 'kill $daemon; wait $daemon; rm -rf "$folder"' EXIT
until grep -q ready "$folder/ready"; do sleep 0.05; done
base=$(awk '{print $NF}' "$folder/ready")
field() { python3 -c "import json,sys; print(json.load(sys.stdin)$1)"; }
missed=0
# expect TEXT VALUE MINIMUM
expect() {
    verdict=ok
    awk -v a="$2" -v b="$3" 'BEGIN { exit !(a >= b) }' || { verdict=MISSED missed=1; }
    echo "$verdict: $1 $2 (at least $3)"
}

curl -sf -X PUT "$base/datasets/mnist" \
    -F train_images=@data/mnist/train-images -F train_labels=@data/mnist/train-labels \
    -F test_images=@data/mnist/t10k-images -F test_labels=@data/mnist/t10k-labels >/dev/null

train() {
    id=$(curl -sf "$base/jobs" -d "{\"model\":\"$1\",\"dataset\":\"mnist\",\"architecture\":\"$1\",
        \"epochs\":5,\"batch_size\":150,\"seed\":$seed,
        \"optimizer\":{\"type\":\"adam\",\"lr\":0.001}}" | field "['id']")
    while state=$(curl -sf "$base/jobs/$id" | field "['state']"); [ "$state" != succeeded ]; do
        case $state in failed | cancelled) curl -s "$base/jobs/$id" >&2; exit 1 ;; esac
        sleep 1
    done
    echo "-- $1, job $id"
    curl -sf -H 'Accept: text/csv' "$base/jobs/$id/loss"
    expect "$1 test accuracy" "$(curl -sf "$base/jobs/$id" | field "['test_accuracy']")" "$2"
    total=$(curl -sf "$base/jobs/$id/confusion" |
        python3 -c 'import json,sys; print(sum(map(sum, json.load(sys.stdin)["matrix"])))')
    expect "$1 sum of the confusion matrix" "$total" 10000
}
train lenet 0.982
train mnist-cnn 0.986

python3 - "$folder" <<'E2'
import struct, sys, zlib
x = open("data/mnist/t10k-images", "rb").read()[16:]
y = open("data/mnist/t10k-labels", "rb").read()[8:]
def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
for i in range(100):
    rows = b""
    for r in range(28):
        line = bytes(255 - v for v in x[i * 784 + r * 28 : i * 784 + r * 28 + 28] for _ in range(5))
        rows += (b"\0" + line) * 5
    png = (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", 140, 140, 8, 0, 0, 0, 0))
           + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b""))
    open(f"{sys.argv[1]}/{i:03}-{y[i]}.png", "wb").write(png)
E2
right=0
for png in "$folder"/*.png; do
    label=$(curl -sf -T "$png" -X POST "$base/predict?model=mnist-cnn" |
        field "['predictions'][0]['label']")
    [ "$label" = "${png: -5:1}" ] && right=$((right + 1))
done
expect "dark-on-light pictures of 140x140 predicted right, of 100" $right 97
exit $missed
