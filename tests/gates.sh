#!/usr/bin/env bash
# Checks of the tree itself: who may include what, and that README's file map is true.
# Counts like a test program of check: "N%: Checks: N, Failures: N, Errors: N".
set -u
cd "$(dirname "$0")/.."
checks=0 failures=0

# gate TEXT OFFENDERS: fails, listing them, when there are any.
gate() {
    checks=$((checks + 1))
    [ -z "$2" ] && return
    failures=$((failures + 1))
    printf 'gate failed: %s\n%s\n' "$1" "$2"
}
# Lines of the sources under the given folders that match, outside the allowed files.
uses() { grep -rnE "$1" --include='*.[ch]' "${@:3}" | grep -vE "^($2):"; }

gate "microhttpd.h is included only in server/http.c" \
    "$(uses '#include *<microhttpd\.h>' 'server/http\.c' core proto server tests)"
gate "sqlite3.h is included only in server/store.c" \
    "$(uses '#include *<sqlite3\.h>' 'server/store\.c' core proto server)"
gate "cJSON.h is included only under proto/" \
    "$(uses '#include *<(cjson/)?cJSON\.h>' 'none' core server)"
gate "SIMD stands only under core/kernels/" \
    "$(uses 'immintrin\.h|arm_neon\.h|vector_size|__m(128|256|512)' 'core/kernels/.*' core proto server)"
gate "OpenMP pragmas stand only in core/, outside kernels/" \
    "$(uses '#pragma omp' 'none' core/kernels proto server)"
gate "core/ knows no JSON, HTTP, SQL or log" \
    "$(uses '#include *[<"](cJSON|microhttpd|sqlite3|curl|log\.h|buf\.h|json)' 'none' core)"
gate "proto/ does no I/O" \
    "$(uses '\b(fopen|open|read|write|socket|printf)\(' 'none' proto | grep -vE '^proto/[a-z_]+\.h:')"
gate "core/ and proto/ never exit, abort or print (check.h aside)" \
    "$(uses '\b(exit|abort|printf|puts|perror|fprintf)\(' 'core/check\.h' core proto)"
gate "no unbounded string functions" \
    "$(uses '\b(strcpy|strcat|sprintf|gets|alloca)\(' 'none' core proto server)"

# The file map: the lines of README's fenced map that begin with a path.
mapped=$(sed -n '/^## Source tour/,/^## /p' README.md | grep -oE '`(core|proto|server)/[A-Za-z0-9_/.]+\.(c|h|proto|yaml)`' | tr -d '`' | sort -u)
# A .c beside a .h of the same name is one module: either stands for both.
tree=$(git ls-files core proto server | grep -E '\.(c|h|proto|yaml)$' | sort -u)
modules() { sed -E 's/\.(c|h)$//' | sort -u; }
gate "README's file map names every module" \
    "$(comm -23 <(modules <<<"$tree") <(modules <<<"$mapped"))"
gate "README's file map names only what exists" \
    "$(comm -13 <(modules <<<"$tree") <(modules <<<"$mapped"))"

echo "$((100 * (checks - failures) / checks))%: Checks: $checks, Failures: $failures, Errors: 0"
[ $failures -eq 0 ]
