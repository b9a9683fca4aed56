#!/usr/bin/env bash
# Compiles pgcluster.exe and runs it under wine: its files must be those that the Linux program writes.
# Docker itself cannot be driven there. All of it happens in two images, kept by the content of their recipes.
set -euo pipefail

BUILD_BASE=${POOL_BASE:-debian:forky-slim}
RUN_BASE=${NODE_BASE:-debian:trixie-slim}
TARGET=x86_64-pc-windows-gnu

here=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cache=$here/target/windows
linux=$cache/linux
certificates=/etc/ssl/certs/ca-certificates.crt

say() { printf 'test-windows: %s\n' "$*" >&2; }

die() {
  say "$*"
  exit 1
}

last_line() { grep -v '^[[:space:]]*$' "$1" | tail -n 1 | cut -c1-300; }

# NAME BASE: the image's name, with a tag of what it is made from.
image() { printf 'pgcluster-windows-%s:%s\n' "$1" "$({ echo "$2"; cat "$here/scripts/windows/$1.Dockerfile"; } | sha256sum | cut -c1-12)"; }

ensure_image() { # NAME BASE
  local name
  name=$(image "$1" "$2")
  if docker image inspect "$name" >/dev/null 2>&1; then return; fi
  docker image inspect "$2" >/dev/null 2>&1 || die "no base image $2: make prepare gets or makes it"
  say "building $name"
  docker build --quiet --build-arg "BASE=$2" --tag "$name" - <"$here/scripts/windows/$1.Dockerfile" >"$cache/$1.log" 2>&1 ||
    die "cannot build $name ($(last_line "$cache/$1.log")): it needs Debian's mirror; all output is in $cache/$1.log"
}

# IMAGE ARGUMENTS …: as this user, with the checkout at /src and the cache at /cache; the home must be the user's own.
in_container() {
  local image=$1 options
  shift
  options=(--rm --user "$(id -u):$(id -g)" --workdir /src --env HOME=/cache/home
    --volume "$here:/src:ro" --volume "$cache:/cache" "${options_here[@]}")
  docker run "${options[@]}" "$image" "$@"
}

command -v docker >/dev/null || die "no docker: make prepare says how to get it"
docker version >/dev/null 2>&1 || die "the Docker engine does not answer: make prepare says what to do"
command -v cargo >/dev/null || die "no cargo: install Rust with rustup, or from your distribution (apt-get install cargo)"
mkdir -p "$cache/home" "$cache/bin"

ensure_image run "$RUN_BASE" &
run_image=$!
ensure_image build "$BUILD_BASE"
wait "$run_image"

say "compiling for Windows"
# Cargo's own variables for the network; behind a company's certificate authority this machine's list of them.
options_here=(--env RUSTC_BOOTSTRAP=1 --env CARGO_HOME=/cache/cargo --env CARGO_TARGET_DIR=/cache/target
  --env CARGO_BUILD_WARNINGS=deny --env HTTPS_PROXY --env https_proxy)
if [ -e "$certificates" ]; then options_here+=(--volume "${certificates%/*}:${certificates%/*}:ro"); fi
in_container "$(image build "$BUILD_BASE")" cargo build --quiet -Z build-std --locked --target "$TARGET" ||
  die "it does not compile for Windows"
in_container "$(image build "$BUILD_BASE")" \
  x86_64-w64-mingw32-gcc -O1 -Wall -Werror -o /cache/bin/docker.exe scripts/windows/docker.c
cp "$cache/target/$TARGET/debug/pgcluster.exe" "$cache/bin/"

# What Linux writes, with nothing left to the system's choice.
(cd "$here" && cargo build --quiet --locked)
program=${CARGO_TARGET_DIR:-$here/target}/debug/pgcluster
rm -rf "$linux"
mkdir -p "$linux"
bare() { env -i PATH="$PATH" "$program" "$@"; }
for kind in directory volume; do
  printf "DATA=%s\nPOSTGRES_PASSWORD='p\$x\"#y: ü'\nPGPOOL_PORT=26432\nMASTER_PORT=25000\n" "$kind" >"$linux/$kind.env"
  mkdir -p "$linux/$kind/My Büro"
  cp "$linux/$kind.env" "$linux/$kind/My Büro/.env"
  bare -C "$linux/$kind/My Büro" --quiet generate 4 >/dev/null
done
for shell in bash powershell; do bare completions "$shell" >"$linux/completions.$shell"; done
bare --quiet man --out "$linux/man"

say "running under wine"
options_here=(--network none --env WINEPREFIX=/cache/wine --env WINEDEBUG=-all --env "WINEDLLOVERRIDES=mscoree,mshtml="
  --env LC_ALL=C.UTF-8)
in_container "$(image run "$RUN_BASE")" bash scripts/windows/cases.sh /cache/bin /cache/linux ||
  die "pgcluster.exe does not behave as on Linux"
