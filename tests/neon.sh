#!/usr/bin/env bash
# The core on aarch64: cross-compiles it and runs its tests under qemu's user emulation, all but
# test_core_train* and test_core_presets, which are slow there and find nothing more in the kernels.
# Ends with run.sh's count. On an arm64 machine `make test` does the same, and more.
#   tests/neon.sh fetch   only installs the cross compiler and qemu, and unpacks check for arm64
# check comes from this machine's own apt sources into build/neon, by an apt state of its own:
# dpkg learns of no second architecture.
set -eu
cd "$(dirname "$0")/.."
out=build/neon
check=$out/check
packages=(gcc-aarch64-linux-gnu libc6-dev-arm64-cross qemu-user)

install_tools() {
    local missing=() package
    for package in "${packages[@]}"; do
        dpkg-query -W -f='${Status}' "$package" 2>/dev/null | grep -q '^install ok installed' ||
            missing+=("$package")
    done
    [ ${#missing[@]} -gt 0 ] || return 0
    echo "installing: ${missing[*]}"
    local sudo
    sudo=$([ "$(id -u)" = 0 ] || echo sudo)
    $sudo apt-get update -qq
    $sudo env DEBIAN_FRONTEND=noninteractive \
        apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
}

# libcheck is a static library and needs libsubunit, another.
unpack_check() {
    [ ! -e $check ] || return 0
    echo "unpacking check for arm64"
    local apt=$PWD/$out/apt
    rm -rf "$apt"
    mkdir -p "$apt/state/lists/partial" "$apt/cache/archives/partial"
    : >"$apt/status"
    local get=(apt-get -qq -o Dir::State="$apt/state" -o Dir::State::status="$apt/status"
        -o Dir::Cache="$apt/cache" -o APT::Architecture=arm64 -o APT::Architectures=arm64
        -o APT::Sandbox::User=root -o Acquire::Languages=none)
    "${get[@]}" update
    (cd "$apt" && "${get[@]}" download check libsubunit-dev)
    local package
    for package in "$apt"/*.deb; do
        dpkg -x "$package" "$apt/root"
    done
    mv "$apt/root" $check
    rm -rf "$apt"
}

install_tools
unpack_check
[ "${1:-}" != fetch ] || exit 0

programs=()
for source in tests/test_core_*.c; do
    case $source in
    *_train*.c | *_presets.c) ;;
    *) programs+=("$out/${source%.c}") ;;
    esac
done
libraries=$check/usr/lib/aarch64-linux-gnu
# pkg-config would name this machine's headers and libraries.
"${MAKE:-make}" --no-print-directory -j2 B=$out CC=aarch64-linux-gnu-gcc WERROR=-Werror \
    TEST_CPP="-iquote core -iquote core/kernels -iquote tests -D_GNU_SOURCE -I$check/usr/include" \
    TEST_LIBS="$libraries/libcheck_pic.a $libraries/libsubunit.a -lrt" "${programs[@]}"
B=$out STRIDED_TEST_SLOW=1 RUNNER="qemu-aarch64 -L /usr/aarch64-linux-gnu" tests/run.sh
