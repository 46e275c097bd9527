#!/usr/bin/env bash
# What the daemon does at five times what it can: voxel-cnn-wide (about 2 ms a sample), 16 connections
# for its capacity, 600 for the overload, then as before. Fails when an answer is neither right nor an
# honest 503, when memory has no bound, when /health/live takes 100 ms or when it does not recover.
#   SECONDS_EACH=10 QUEUE=64 MODEL=voxel-cnn-wide bench/overload.sh [build]
set -eu
cd "$(dirname "$0")/.."
build=${1:-build} seconds=${SECONDS_EACH:-10} queue=${QUEUE:-64} model=${MODEL:-voxel-cnn-wide}
folder=$(mktemp -d)
pid=
cleanup() {
    if [ -n "$pid" ]; then
        kill "$pid" 2>/dev/null && wait "$pid" || true
    fi
    rm -rf "$folder"
}
trap cleanup EXIT

touch "$folder/out"
"$build/bench/export" "$folder"
head -c 55296 /dev/zero >"$folder/body" # 24^3 float32
"$build/strided" serve --no-bootstrap --no-access-log --listen 127.0.0.1:0 --queue-max "$queue" \
    --data-dir "$folder/data" >"$folder/out" 2>"$folder/log" &
pid=$!
until grep -q ready "$folder/out"; do
    kill -0 "$pid"
    sleep .05
done
port=$(sed -nE 's/.*:([0-9]+)$/\1/p' "$folder/out")
curl -sf -T "$folder/$model.onnx" "http://127.0.0.1:$port/models/m" -o "$folder/put"

load() { "$build/bench/overload" "$port" /models/m/predict "$folder/body" "$@"; }
resident() { awk '/^VmRSS/ {print int($2 / 1024)}' "/proc/$pid/status"; }

warm=$(load 0 1 16) before=$(load 0 "$seconds" 16)
capacity=$(cut -d, -f7 <<<"$before")
rate=$(awk "BEGIN {print int(5 * $capacity)}")
idle_mib=$(resident)
during=$(load "$rate" "$seconds" 600)
full_mib=$(resident)
after=$(load 0 "$seconds" 16)

header=rate,seconds,sent,ok,refused,wrong,ok_per_s,ok_p50_ms,ok_p99_ms,ok_max_ms,health_p50_ms,health_p99_ms,health_max_ms,held_back
printf 'run,%s\nbefore,%s\noverload,%s\nafter,%s\n' "$header" "$before" "$during" "$after"
echo "resident: $idle_mib MiB before, $full_mib MiB after the overload; queue of $queue"

verdict=0
check() { # TEXT VALUE MOST
    if awk "BEGIN {exit !($2 > $3)}"; then
        echo "not kept: $1: $2, at most $3"
        verdict=1
    fi
}
field() { cut -d, -f"$2" <<<"$1"; }
for line in "$warm" "$before" "$during" "$after"; do
    check "answers that are neither 200 nor an honest 503" "$(field "$line" 6)" 0
done
check "nothing refused" "$((1 - ($(field "$during" 5) > 0)))" 0
check "MiB grown" $((full_mib - idle_mib)) 128
check "ms of /health/live, 99 %" "$(field "$during" 12)" 100
# Twice what it takes to compute all that may be in front of one: the queue, and a batch a core.
check "ms of an admitted request, 99 %" "$(field "$during" 9)" \
    "$(awk "BEGIN {print 2000 * ($queue + 32 * $(nproc)) / $(field "$during" 7)}")"
check "capacity lost afterwards, parts of one" \
    "$(awk "BEGIN {print 1 - $(field "$after" 7) / $capacity}")" .5
exit $verdict
