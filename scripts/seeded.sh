#!/usr/bin/env bash
# Does the suite notice? Each patch in tests/seeded breaks something on purpose, in a copy of this folder, and each test
# that it names must turn red. Prints a table; exit status 1 when one stays green, or a patch does not fit.
set -euo pipefail

LIMIT=${SEEDED_LIMIT:-420}

here=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
work=$here/target/seeded
tree=$work/tree
log=$work/log

usage() {
  cat <<'END'
usage: scripts/seeded.sh [PART…]
       scripts/seeded.sh --mend


Tries the patches in tests/seeded whose names have one of the PARTs, or all. Those of which all tests need containers
are left out unless PGCLUSTER_DOCKER=1, as `make seeded` sets it.

  --mend   make the patches anew whose surroundings have changed, as far as it is clear where they belong

environment:
  SEEDED_LIMIT   seconds for the tests of one patch (420); what hangs until then counts as red
END
}

say() { printf 'seeded: %s\n' "$*" >&2; }

bounded() { if command -v timeout >/dev/null; then timeout --kill-after=10 "$@"; else shift; "$@"; fi; }

# Files with a new time each, so that cargo never takes a broken build for the present one.
copy() {
  rm -rf "$tree"
  mkdir -p "$tree" "$log"
  (cd "$here" && git ls-files -z --cached --others --exclude-standard | while IFS= read -rd '' file; do
    if [ -e "$file" ]; then printf '%s\0' "$file"; fi
  done | tar --null --files-from=- --create --file=-) | tar --extract --touch --directory="$tree" --file=-
  # The downloads that images are built with.
  if [ -d "$here/slave-template/vendor" ]; then cp -R "$here/slave-template/vendor" "$tree/slave-template/"; fi
}

# Not in the repository around it: there git would look for the paths elsewhere.
apply() { (cd "$tree" && GIT_CEILING_DIRECTORIES=$work git apply "$@"); }

needs_docker() { case $1 in scenarios::* | faults::*) return 0 ;; *) return 1 ;; esac; }

tests_of() { # PATCH: the tests it names that can run here, a word each
  local test
  for test in $(sed -n '1s/^# Red: //p' "$1"); do
    if ! needs_docker "$test" || [ "${PGCLUSTER_DOCKER-}" = 1 ]; then printf '%s\n' "$test"; fi
  done
}

# Which programs have these tests: most of the time goes into building them.
targets() { # TEST…
  local test lib='' it=''
  for test in "$@"; do
    case $test in
      cli::* | generate::* | scenarios::* | faults::* | ledger::*) it='--test it' ;;
      *) lib=--lib ;;
    esac
  done
  echo "$lib $it"
}

# shellcheck disable=SC2046
build() { (cd "$tree" && cargo test --quiet --locked $(targets "$@") --no-run); }

# Without --exact a name would be taken for a part of one.
# shellcheck disable=SC2046
run() { (cd "$tree" && bounded "$LIMIT" cargo test --locked --no-fail-fast $(targets "$@") -- --exact "$@" </dev/null); }

# How TEST ended, by the output of `run` in FILE: red, green, or nothing of it is known.
end_of() { # TEST FILE
  case $(sed -n "s/^test $1 \.\.\. //p" "$2" | tail -n 1) in
    ok) echo green ;;
    FAILED) echo red ;;
    *) echo none ;;
  esac
}

try() { # PATCH: prints its row
  local name tests test ends='' result=caught status=0 end out
  name=$(basename "$1" .patch)
  out=$log/$name.txt
  tests=$(tests_of "$1")
  if [ -z "$tests" ]; then printf '| %s | left out | |\n' "$name"; return 0; fi
  if ! apply "$1" 2>"$out"; then printf '| %s | does not apply | |\n' "$name"; return 1; fi
  # shellcheck disable=SC2086
  if ! build $tests >"$out" 2>&1; then
    result='does not compile'
  else
    # shellcheck disable=SC2086
    run $tests >"$out" 2>&1 || status=$?
    for test in $tests; do
      end=$(end_of "$test" "$out")
      # It hung, and was the only one that had not ended.
      if [ "$end" = none ] && [ "$status" = 124 ]; then end='red, by hanging'; fi
      ends="$ends${ends:+, }\`$test\` $end"
      case $end in red*) ;; *) result=missed ;; esac
    done
  fi
  apply --reverse "$1"
  printf '| %s | %s | %s |\n' "$name" "$result" "$ends"
  [ "$result" = caught ]
}

# A line of context is enough to find the place; the new patch has all of it.
mend() { # PATCH
  local file name
  name=$(basename "$1")
  if apply --check "$1" 2>/dev/null; then return 0; fi
  if ! apply -C1 "$1" 2>/dev/null; then say "$name: by hand"; return 1; fi
  {
    sed '/^diff /,$d' "$1"
    sed -n 's#^+++ b/##p' "$1" | while IFS= read -r file; do
      printf 'diff --git a/%s b/%s\n--- a/%s\n+++ b/%s\n' "$file" "$file" "$file" "$file"
      git diff --no-index --no-color "$here/$file" "$tree/$file" | sed '1,/^+++ /d'
      cp "$here/$file" "$tree/$file"
    done
  } >"$work/mended"
  mv "$work/mended" "$1"
  say "$name: mended"
}

case ${1-} in
  -h | --help) usage; exit 0 ;;
  --mend)
    copy
    failed=0
    for patch in "$here"/tests/seeded/*.patch; do mend "$patch" || failed=1; done
    exit "$failed"
    ;;
esac

patches=()
for patch in "$here"/tests/seeded/*.patch; do
  for part in "${@:-}"; do
    case $(basename "$patch") in *"$part"*) patches+=("$patch"); break ;; esac
  done
done
if [ ${#patches[@]} = 0 ]; then say "no patch has such a name"; exit 2; fi

# Containers belong to a folder of the test's own, so nothing of this copy meets another.
export CARGO_TARGET_DIR=$work/target
unset CARGO_MANIFEST_DIR
copy
say "first without a breakage: all must be green"
all=$(for patch in "${patches[@]}"; do tests_of "$patch"; done | sort -u)
# shellcheck disable=SC2086
if [ -n "$all" ] && ! { build $all && LIMIT=3600 run $all; } >"$log/unbroken.txt" 2>&1; then
  say "not all tests are green without a breakage: $log/unbroken.txt"
  exit 1
fi
failed=0
printf '| breakage | result | tests |\n| --- | --- | --- |\n'
for patch in "${patches[@]}"; do
  try "$patch" || failed=$((failed + 1))
done
if [ "$failed" -gt 0 ]; then say "$failed of ${#patches[@]} were not noticed: $log"; exit 1; fi
say "${#patches[@]} tried, none went unnoticed"
