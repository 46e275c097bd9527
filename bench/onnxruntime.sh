#!/usr/bin/env bash
# Installs onnxruntime-node and pngjs from npm into build/peers, once (packages' own scripts are not
# run).
set -eu
cd "$(dirname "$0")/.."
[ -d build/peers/node_modules/onnxruntime-node ] && [ -d build/peers/node_modules/pngjs ] && exit
mkdir -p build/peers
cd build/peers
npm install --silent --ignore-scripts --no-save onnxruntime-node pngjs
