#!/usr/bin/env bash
# 1000 slow clients of Debian's slowhttptest against the daemon, in three ways: heads that never end,
# bodies that never end, replies that nobody takes. Meanwhile a normal client asks for predictions,
# each on a connection of its own. One line a way: how its requests went, what the slow clients took
# of the daemon, and how many connections were still held when they had to be gone.
# usage: bench/slow.sh BUILD_FOLDER      CLIENTS=1000 SECONDS_EACH=20
# Exit status 1 when a normal request failed, took a second, or slow clients were not cut.
set -eu
cd "$(dirname "$0")/.."
build=$1 clients=${CLIENTS:-1000} seconds=${SECONDS_EACH:-20}
ulimit -n "$(ulimit -H -n)"
folder=$(mktemp -d)
deadline=5
"$build/strided" serve --listen 127.0.0.1:0 --data-dir "$folder/data" --no-access-log \
    --head-timeout-s $deadline --body-timeout-s $deadline --send-timeout-s $deadline \
    --idle-timeout-s $deadline --min-rate 1000000 >"$folder/ready" 2>"$folder/log" &
daemon=$!
trap 'kill $daemon; wait $daemon || true; rm -rf "$folder"' EXIT
until grep -q ready "$folder/ready"; do sleep 0.05; done
base=$(awk '{print $NF}' "$folder/ready")
until curl -sf "$base/models/shapes" >/dev/null; do sleep 0.1; done # the first start's model
head -c 3136 /dev/zero >"$folder/picture"                           # 28 x 28 floats

# One prediction after the other until the file `stop` is there: status and seconds, a line each.
ask() {
    while [ ! -e "$folder/stop" ]; do
        curl -s -o /dev/null -w '%{http_code} %{time_total}\n' -H 'Expect:' \
            -H 'Content-Type: application/octet-stream' --data-binary "@$folder/picture" \
            "$base/predict?model=shapes" || true
    done >"$folder/times"
}
# How many requests, how many failed, and 50 %, 99 % and the longest in ms.
summary() {
    sort -k2 -n "$folder/times" | awk '
        $1 != 200 { bad++ }
        { t[NR] = $2 * 1000 }
        END { printf "%d,%d,%.1f,%.1f,%.1f", NR, bad, t[int((NR + 1) / 2)], t[int((NR * 99 + 99) / 100)], t[NR] }'
}
ticks() { awk '{print $14 + $15}' "/proc/$daemon/stat"; }
descriptors() { ls "/proc/$daemon/fd" | wc -l; }
resident() { awk '/VmRSS/ {print int($2 / 1024)}' "/proc/$daemon/status"; }

verdict=0
idle_descriptors=$(descriptors)
# way NAME [slowhttptest's flags]; without flags nobody is slow.
way() {
    name=$1
    shift
    rm -f "$folder/stop"
    ask &
    asker=$!
    before=$(ticks)
    most=0
    if [ $# -gt 0 ]; then
        slowhttptest "$@" -c "$clients" -r 500 -i 2 -l "$seconds" -p 3 >"$folder/slow" 2>&1 &
        slow=$!
        for ((i = 0; i < seconds * 2; i++)); do
            now=$(descriptors)
            [ "$now" -gt "$most" ] && most=$now
            sleep 0.5
        done
        held=$(($(descriptors) - idle_descriptors))
        wait $slow || true
    else
        sleep "$seconds"
        most=$(descriptors) held=0
    fi
    after=$(ticks)
    touch "$folder/stop"
    wait $asker
    line=$(summary)
    echo "$name,$line,$most,$held,$(resident),$(awk "BEGIN {print 100 * ($after - $before) / $(getconf CLK_TCK) / $seconds}")"
    IFS=, read -r _ bad _ _ longest <<<"$line"
    if [ "$bad" -gt 0 ] || awk "BEGIN {exit !($longest >= 1000)}" || [ "$held" -gt 50 ]; then
        echo "not kept: $name" >&2
        verdict=1
    fi
}

echo "run,requests,failed,p50_ms,p99_ms,max_ms,descriptors_most,held_at_the_end,resident_mib,cpu_percent"
way nobody
way heads -H -u "$base/models" -x 24
way bodies -B -u "$base/predict?model=shapes" -s 8192 -x 10
way readers -X -u "$base/openapi.json" -w 512 -y 1024 -n 5 -z 32 -k 3
curl -sf "$base/health/ready" >/dev/null
exit $verdict
