#!/bin/sh
# Installs what building and the demo need and this machine lacks: a C++ compiler, CMake and libclang for
# SEAL, pip and certificates for the assets, clippy and rustfmt for the checks.
set -eu

fail() {
    echo "setup: $1" >&2
    exit 1
}

missing=""
need() { # need PACKAGE TEST...
    package=$1
    shift
    "$@" > /dev/null 2>&1 || missing="$missing $package"
}
need build-essential sh -c 'command -v c++ && command -v make'
need cmake command -v cmake
need libclang-dev sh -c 'ls /usr/lib/llvm-*/lib/libclang*.so* /usr/lib/*/libclang*.so*  2>/dev/null | grep -q . && ls -d /usr/lib/llvm-*/lib/clang/*/include'
need python3 command -v python3
need python3-pip python3 -m pip --version
need ca-certificates test -e /etc/ssl/certs/ca-certificates.crt

if [ -n "$missing" ]; then
    command -v apt-get > /dev/null || fail "please install the equivalents of:$missing (there is no apt-get here)"
    if [ "$(id -u)" = 0 ]; then
        sudo=""
    elif command -v sudo > /dev/null; then
        sudo=sudo
    else
        fail "please run as root: apt-get install$missing"
    fi
    echo "setup: installing$missing" >&2
    $sudo apt-get update -qq || fail "apt-get update failed; check the network"
    # shellcheck disable=SC2086 # the list is meant to split
    DEBIAN_FRONTEND=noninteractive $sudo apt-get install -y -qq --no-install-recommends $missing > /dev/null ||
        fail "apt-get could not install$missing"
fi

command -v cargo > /dev/null || fail "please install a Rust toolchain, 1.95 or newer, and run again"
for component in clippy rustfmt; do
    cargo "$(echo "$component" | sed s/rustfmt/fmt/)" --version > /dev/null 2>&1 ||
        rustup component add "$component" ||
        fail "cargo has no $component and rustup could not add it"
done
