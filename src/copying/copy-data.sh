#!/bin/bash
# Copies the data directory of a master that runs, between pg_backup_start and pg_backup_stop, for each folder named.
# Runs in a throw-away container that sees the project folder and has no network. Says `ready`, and waits on standard input
# for an empty line, which comes when the backup has begun. Says `copying` where a container that starts now on one of the
# folders waits for its data. Says `copied` when it has read everything, then waits for the backup label, without which
# the copies would be corrupt, and an empty line.
set -euo pipefail
cd /project
from=master/pgdata

# As pg_basebackup leaves them out; the folders themselves must be there.
contents=(pg_wal pg_replslot pg_dynshmem pg_notify pg_serial pg_snapshots pg_stat_tmp pg_subtrans)
files=(postmaster.pid postmaster.opts standby.signal recovery.signal backup_label backup_label.old backup_manifest
  tablespace_map current_logfiles)

waits=yes
# To the end of this: first nobody else's, and then shared, which tells a container that starts (take_folder in its
# node-common.sh) that no server runs there. A script that is older than that would give up.
lock() { # FOLDER
  local status=0 file
  [[ ! -L $1 ]] || { echo "$1 is a link" >&2; exit 1; }
  mkdir -p "$1"
  exec {file}<"$1"
  flock --nonblock --conflict-exit-code 75 "$file" && flock --nonblock --conflict-exit-code 75 --shared "$file" || status=$?
  if ((status == 75)); then echo "another container runs on $1, or copies to there" >&2; exit 1; fi
  if ((status != 0)) || ! grep -qs 'flock .*--shared' "$1/node-common.sh"; then waits=; fi
}

copy() { # FOLDER
  local to=$1/pgdata.new entry name skipped=" ${contents[*]} ${files[*]} " log status
  [[ ! -e $1/pgdata && ! -L $1/pgdata ]] || { echo "$1 has data already" >&2; return 1; }
  rm -rf "$to"
  install -d -m 700 -o postgres -g postgres "$to"
  for entry in "$from"/*; do
    name=${entry##*/}
    if [[ $skipped == *" $name "* ]]; then continue; fi
    # What the server deletes meanwhile it will not miss: recovery replays the deletion.
    status=0
    log=$(LC_ALL=C cp --archive --reflink=auto "$entry" "$to/" 2>&1) || status=$?
    log=$(grep -vE '^(cp: cannot (stat|open|access) .*: No such file or directory)?$' <<<"$log") || true
    ((status <= 1)) && [[ -z $log ]] || { printf '%s\n' "cp ended with $status" "$log" >&2; return 1; }
  done
  for name in "${contents[@]}"; do install -d -m 700 -o postgres -g postgres "$to/$name"; done
  install -d -m 700 -o postgres -g postgres "$to/pg_wal/archive_status"
  find "$to" \( -name 'pgsql_tmp*' -o -name 'pg_internal.init*' \) -prune -exec rm -rf {} +
  # The last of all, as pg_basebackup has it.
  cp --archive "$from/global/pg_control" "$to/global/pg_control"
}

label_it() { # FOLDER
  local to=$1/pgdata.new
  printf '%s' "$label" >"$to/backup_label"
  : >"$to/standby.signal"
  chmod 600 "$to/backup_label" "$to/standby.signal"
  chown postgres:postgres "$to/backup_label" "$to/standby.signal"
}

# Until the process ends. Whoever asked for the copy holds the other end of standard input: without them it is of no use.
await() { # PROCESS
  while kill -0 "$1" 2>/dev/null; do
    read -rt 0.02 || (($? > 128)) || { echo "whoever wanted the copy is gone" >&2; exit 1; }
  done
  wait "$1"
}

# The disk is to begin with the first files, and not when a tenth of the memory waits for it.
write_out() { while sync --file-system .; do sleep 0.1; done; }

for folder in "$@"; do lock "$folder"; done
echo ready
read -r line || { echo "the backup has not begun" >&2; exit 1; }
[[ -z $waits ]] || echo copying
pids=()
for folder in "$@"; do copy "$folder" & pids+=($!); done
write_out & writer=$!
for pid in "${pids[@]}"; do await "$pid"; done
kill "$writer"
wait "$writer" || true
echo copied
label='' ended=''
while [[ -z $ended ]] && IFS= read -r line; do
  if [[ -n $line ]]; then label+=$line$'\n'; else ended=1; fi
done
[[ -n $ended && $label == *'START WAL LOCATION'* ]] || { echo "no backup label came" >&2; exit 1; }
for folder in "$@"; do label_it "$folder"; done
sync --file-system "${@/%//pgdata.new}"
for folder in "$@"; do mv -T "$folder/pgdata.new" "$folder/pgdata"; done
sync "$@"
