#!/usr/bin/env bash
# The from-scratch notebook's run, here and in PyTorch: `scratch` and `lenet` on the first 1000/200
# images of MNIST, SGD .01, batch 100, over SEEDS seeds (20) and EPOCHS epochs (3); prints mean and
# standard deviation of the last epoch's loss and of the test accuracy for both.
# Needs `make data`, a built daemon, jq-free curl, and python3-torch for PyTorch's lines.
set -eu
cd "$(dirname "$0")/.."
seeds=${SEEDS:-20} epochs=${EPOCHS:-3}
folder=$(mktemp -d)
build/strided serve --listen 127.0.0.1:0 --data-dir "$folder/data" --no-bootstrap \
    >"$folder/ready" 2>"$folder/log" &
daemon=$!
trap 'kill $daemon; wait $daemon; rm -rf "$folder"' EXIT
until grep -q ready "$folder/ready"; do sleep 0.05; done
base=$(awk '{print $NF}' "$folder/ready")

curl -sf -X PUT "$base/datasets/mnist1000?train=1000&test=200" \
    -F train_images=@data/mnist/train-images -F train_labels=@data/mnist/train-labels \
    -F test_images=@data/mnist/t10k-images -F test_labels=@data/mnist/t10k-labels >/dev/null
field() { python3 -c "import json,sys; print(json.load(sys.stdin)$1)"; }

for net in scratch lenet; do
    for seed in $(seq "$seeds"); do
        id=$(curl -sf "$base/jobs" -d "{\"model\":\"$net\",\"dataset\":\"mnist1000\",
            \"architecture\":\"$net\",\"epochs\":$epochs,\"batch_size\":100,\"seed\":$seed,
            \"optimizer\":{\"type\":\"sgd\",\"lr\":0.01},\"publish\":\"last\"}" | field "['id']")
        while :; do
            job=$(curl -sf "$base/jobs/$id")
            state=$(field "['state']" <<<"$job")
            case $state in succeeded) break ;; failed | cancelled) echo "$job" >&2; exit 1 ;; esac
            sleep 0.05
        done
        echo "$net $(field "['loss']" <<<"$job") $(field "['test_accuracy']" <<<"$job")"
    done
done | awk -v epochs="$epochs" '
    { n[$1]++; l[$1] += $2; ll[$1] += $2 * $2; a[$1] += $3; aa[$1] += $3 * $3 }
    function sd(sum, squares, count) { return sqrt((squares - sum * sum / count) / (count - 1)) }
    END { for (k in n) printf "strided %s seeds %d epochs %d loss %.4f +- %.4f accuracy %.4f +- %.4f\n",
        k, n[k], epochs, l[k] / n[k], sd(l[k], ll[k], n[k]), a[k] / n[k], sd(a[k], aa[k], n[k]) }'
/usr/bin/python3 -c 'import torch' 2>/dev/null || {
    echo "python3-torch is not installed: no comparison" >&2
    exit 0
}
OMP_NUM_THREADS=2 /usr/bin/python3 bench/reference_torch.py data/mnist "$seeds" "$epochs"
