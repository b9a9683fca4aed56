#!/bin/bash
# What pgcluster.exe must do, run inside the container that has wine: see scripts/test-windows.sh.
# usage: cases.sh BIN LINUX, with the folder of the two programs and that of what Linux wrote.
set -euo pipefail

bin=$1 linux=$2
drive=$WINEPREFIX/drive_c
test=$drive/pgtest
failures=0

pass() { printf 'ok      %s\n' "$1"; }
fail() {
  printf 'FAILED  %s\n' "$1"
  if [ $# -gt 1 ]; then printf '%s\n' "${@:2}" | sed 's/^/        | /'; fi
  failures=$((failures + 1))
}

# Of the environment only what a program needs, and no `docker` but one that stands in C:\bin.
pgcluster() {
  env -i PATH="$PATH" HOME="$HOME" LC_ALL=C.UTF-8 WINEPREFIX="$WINEPREFIX" WINEDEBUG=-all WINEPATH='C:\bin' \
    wine 'C:\bin\pgcluster.exe' "$@"
}

# CODE, what it is, words …: runs them and compares the exit code; output in $out and $err.
expect() {
  local code=$1 what=$2 status=0
  shift 2
  pgcluster "$@" >"$test/out" 2>"$test/err" || status=$?
  out=$(tr -d '\r' <"$test/out") err=$(tr -d '\r' <"$test/err")
  if [ "$status" -eq "$code" ]; then pass "$what"; else fail "$what: exit code $status, not $code" "$out" "$err"; fi
}

holds() { # TEXT PART WHAT
  case "$1" in *"$2"*) pass "$3" ;; *) fail "$3: no \`$2\`" "$1" ;; esac
}

# Every file but the lock's, with the project's name, which comes from the folder's path, out of it.
normalised() { # FROM TO
  rm -rf "$2"
  cp -r "$1" "$2"
  rm -f "$2/.pgcluster/lock" "$2/.pgcluster/lock-holder"
  sed -i -E '/^name: /s/"(pgcluster-[a-z]+)-[0-9a-f]{8}"/"\1-PATH"/' "$2/docker-compose.yml"
}

rm -rf "${test:?}" "${drive:?}/bin"
mkdir -p "$test" "$drive/bin"
cp "$bin/pgcluster.exe" "$drive/bin/"

echo "# help and what it prints"
expect 0 "help" --help
holds "$out" "Exit codes:" "help tells the exit codes"
expect 0 "version" --version
for shell in bash powershell; do
  expect 0 "completions of $shell" completions "$shell"
  if [ "$out" = "$(cat "$linux/completions.$shell")" ]; then pass "as on Linux"; else fail "completions differ"; fi
done
expect 0 "manual pages" man --out 'C:\pgtest\man'
if diff -r "$linux/man" "$test/man" >"$test/diff"; then pass "as on Linux"; else fail "pages differ" "$(cat "$test/diff")"; fi

echo "# generate, byte for byte as on Linux"
for kind in directory volume; do
  folder="$test/$kind/My Büro"
  mkdir -p "$folder"
  cp "$linux/$kind.env" "$folder/.env"
  expect 0 "generate 4 with DATA=$kind" -C "C:\\pgtest\\$kind\\My Büro" generate 4
  normalised "$folder" "$test/here"
  normalised "$linux/$kind/My Büro" "$test/there"
  if diff -r "$test/there" "$test/here" >"$test/diff"; then
    pass "$(find "$test/here" -type f | wc -l) files are those of Linux"
  else
    fail "files differ from those of Linux" "$(head -n 40 "$test/diff")"
  fi
  expect 0 "once more" -C "C:\\pgtest\\$kind\\My Büro" generate
  holds "$out" "nothing to do" "the second run changes nothing"
done

echo "# a volume by default, and CRLF kept"
folder=$test/crlf
mkdir "$folder"
printf '# mine\r\nMASTER_PORT=25000\r\nCONNECTION_MODE=session\r\nPGPOOL_PORT=26432' >"$folder/.env"
expect 0 "generate" -C 'C:\pgtest\crlf' generate 1
holds "$(cat "$folder/docker-compose.yml")" "type: volume" "volumes where DATA is not given"
if [ "$(grep -c $'\r$' "$folder/.env")" -eq "$(wc -l <"$folder/.env")" ]; then
  pass "every line of .env ends in CRLF"
else
  fail ".env has both kinds of line ends" "$(cat -A "$folder/.env")"
fi
if ! grep -rlI $'\r' "$folder" --exclude=.env >"$test/diff"; then pass "no other file has one"; else fail "CR in" "$(cat "$test/diff")"; fi

echo "# an existing file is replaced as a whole"
printf '# an older one, Rendered by pgcluster\nname: x\nservices: {postgres-master: {}}\n' >"$folder/docker-compose.yml"
expect 0 "generate" -C 'C:\pgtest\crlf' generate 1
holds "$(head -n 1 "$folder/docker-compose.yml")" "a change here is lost" "the new content is there"
if [ -z "$(find "$folder" -name '.pgcluster-*')" ]; then pass "no temporary file is left"; else fail "temporary files are left"; fi

echo "# without docker"
expect 5 "up" -C 'C:\pgtest\crlf' up
holds "$err" "\`docker\` is not on PATH" "it says what is missing"
expect 5 "status" -C 'C:\pgtest\crlf' status
expect 2 "bad input comes first" -C 'C:\pgtest\crlf' up --mode sometimes

echo "# with a docker that notes how it is called"
cp "$bin/docker.exe" "$drive/bin/"
cp "$folder/.env" "$test/env.before"
expect 1 "up --mode transaction" -C 'C:\pgtest\crlf' up --mode transaction
holds "$err" "there is no engine here" "it shows docker's own words"
sed 's/^CONNECTION_MODE=session/CONNECTION_MODE=transaction/' "$test/env.before" >"$test/env.expected"
if cmp -s "$test/env.expected" "$folder/.env"; then
  pass "one line of .env changed, and kept its CRLF"
else
  fail "more than one line of .env changed" "$(diff "$test/env.expected" "$folder/.env" | cat -A)"
fi
expect 1 "up in a folder with a space" -C "C:\\pgtest\\volume\\My Büro" up
log=$(tr -d '\r' <"$test/docker.log")
holds "$log" '[--project-directory][C:\pgtest\crlf][--file][C:\pgtest\crlf\docker-compose.yml]' "Compose gets paths of Windows"
holds "$log" '[--env-file][NUL]' "and no .env"
holds "$log" '\My B' "a folder with a space is one word"

echo "# two at once"
touch "$test/hold"
pgcluster -C 'C:\pgtest\crlf' up >/dev/null 2>&1 &
first=$!
: >"$test/docker.log"
for _ in $(seq 600); do
  if grep -q '^\[version\]' "$test/docker.log"; then break; fi
  sleep 0.1
done
expect 4 "the second" -C 'C:\pgtest\crlf' generate
# shellcheck disable=SC2016 # it is what stands in the message
holds "$err" '`pgcluster up`, process' "it names the first"
rm "$test/hold"
wait "$first" || true
expect 0 "and goes on when the first has ended" -C 'C:\pgtest\crlf' generate

if [ "$failures" -gt 0 ]; then
  echo "$failures failed"
  exit 1
fi
