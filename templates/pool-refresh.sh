#!/bin/bash
# Gives a running Pgpool-II or PgBouncer other logins: on standard input the user, a tab and the password, a line each; the last
# line is "end", so that what was cut short changes nothing.
set -eu
here=${0%/*}
# shellcheck source-path=SCRIPTDIR/../slave-template source=node-common.sh
. "$here/node-common.sh"
# shellcheck source-path=SCRIPTDIR source=pool-logins.sh
. "$here/pool-logins.sh"

watcher_line() { if [[ $1 == "$POOL_USER" ]]; then passfile_line "$1" "$2"; fi; }
fail() { printf '%s\n' "$*" >&2; exit 1; }

lines=$(cat)
[[ $lines == *$'\t'*$'\nend' ]] || fail "the list of logins was cut short"
lines=${lines%end}
given() { printf '%s' "$lines"; }

if [[ -e $private/userlist.txt ]]; then
  write_to "$private/userlist.txt.new" each_line userlist_line < <(given)
  to_postgres "$private/userlist.txt.new"
  mv "$private/userlist.txt.new" "$private/userlist.txt"
  (as_postgres psql -XAtqw -h "$private" -p 5432 -U pgbouncer -d pgbouncer -c RELOAD)
elif [[ -e $private/pool_passwd ]]; then
  file=$private/pool_passwd
  logins() { pool_passwd_head; each_line pool_passwd_line < <(given); }
  write_to "$file.new" logins
  # Into the file that is open, not by renaming another one over it.
  dd if="$file.new" of="$file" conv=notrunc bs=1M status=none
  truncate --size="$(stat -c %s "$file.new")" "$file"
  rm "$file.new"
  # The watcher's, for its next session.
  write_to "$private/pgpass.new" each_line watcher_line < <(given)
  to_postgres "$private/pgpass.new"
  mv "$private/pgpass.new" "$private/pgpass"
else
  fail "it is still starting"
fi
