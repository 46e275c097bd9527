#!/usr/bin/env bash
# Installs onnxruntime-node from npm into build/peers, once (its own download scripts are not run).
set -eu
cd "$(dirname "$0")/.."
[ -d build/peers/node_modules/onnxruntime-node ] && exit
mkdir -p build/peers
cd build/peers
npm install --silent --ignore-scripts --no-save onnxruntime-node
