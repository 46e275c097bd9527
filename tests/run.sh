#!/usr/bin/env bash
# Runs every test program of $B (default build), two at a time, and adds up what they counted.
# Ends with "N passed, N failed, N skipped"; exit status 1 if any failed.
#   VALGRIND=1     under memcheck
#   RUNNER=COMMAND programs as arguments of this command (an emulator)
#   ONLY=PATTERN   only programs whose name matches, e.g. ONLY='test_core_*'
set -u
B=${B:-build}
only=${ONLY:-test_*}
logs=$(mktemp -d)
trap 'rm -rf "$logs"' EXIT

run_one() {
    program=$1 log=$2/$(basename "$1").log
    # shellcheck disable=SC2206 # RUNNER holds a command and its options
    command=(${RUNNER:-} "$program")
    if [ -n "${VALGRIND:-}" ] && [[ $program != *.sh ]]; then
        command=(valgrind -q --error-exitcode=99 --leak-check=full --show-leak-kinds=definite
            --errors-for-leak-kinds=definite --trace-children=yes
            --suppressions=tests/valgrind.supp "$program")
    fi
    start=$SECONDS
    "${command[@]}" >"$log" 2>&1
    status=$?
    echo "exit $status" >>"$log"
    verdict=ok
    [ $status -eq 0 ] || verdict=FAILED
    printf '%-6s %-32s %4ds\n' "$verdict" "$(basename "$program")" $((SECONDS - start))
}
export -f run_one
export VALGRIND=${VALGRIND:-}

{
    [ "$only" = 'test_*' ] && [ "$B" = build ] && echo tests/gates.sh
    # Its daemons take LD_PRELOAD, which sanitizers and valgrind want for themselves.
    [ "$only" = 'test_*' ] && [ "$B" = build ] && [ -z "$VALGRIND" ] && echo tests/kill_sweep.py
    find "$B/tests" -maxdepth 1 -type f -executable -name "$only" | sort
} |
    xargs -P "${TEST_JOBS:-2}" -I{} bash -c 'run_one "$1" "$2"' _ {} "$logs"

passed=0 failed=0 skipped=0
for log in "$logs"/*.log; do
    [ -e "$log" ] || continue
    summary=$(grep -aE '^[0-9]+%: Checks: ' "$log" | tail -n 1)
    checks=$(sed -nE 's/.*Checks: ([0-9]+),.*/\1/p' <<<"$summary")
    bad=$(sed -nE 's/.*Failures: ([0-9]+), Errors: ([0-9]+).*/\1 \2/p' <<<"$summary" | awk '{print $1 + $2}')
    skips=$(grep -ac '^skipped: ' "$log")
    status=$(sed -nE 's/^exit ([0-9]+)$/\1/p' "$log" | tail -n 1)
    # A program that fails without counting a failure (a crash, a leak at exit) is one failure.
    if [ "$status" != 0 ] && [ "${bad:-0}" -eq 0 ]; then
        bad=1 checks=$((${checks:-0} + 1))
    fi
    passed=$((passed + ${checks:-0} - ${bad:-0} - skips))
    failed=$((failed + ${bad:-0}))
    skipped=$((skipped + skips))
    if [ "$status" != 0 ]; then
        echo "---- $(basename "$log" .log)"
        tail -c 6000 "$log"
    elif [ "$skips" -gt 0 ]; then
        grep -aE '^skipped: ' "$log" | sort | uniq -c | sed "s/^/$(basename "$log" .log):/"
    fi
done
echo "$passed passed, $failed failed, $skipped skipped"
[ "$failed" -eq 0 ] && [ "$passed" -gt 0 ]
