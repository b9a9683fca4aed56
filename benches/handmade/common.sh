# shellcheck shell=bash
# Seconds of sleep without a process.
exec 9<> <(:)
pause() { read -rt "$1" -u 9 || true; }

say() { printf '%s\n' "$*" >&2; }

accepts() { # HOST: does a server answer there?
  local answer=
  { exec 8<>"/dev/tcp/$1/5432"; } 2>/dev/null || return 1
  printf '\0\0\0\027\0\3\0\0user\0postgres\0\0' >&8 2>/dev/null || true
  IFS= read -rN 1 -t 1 -u 8 answer || true
  exec 8>&-
  [[ $answer == R ]]
}
