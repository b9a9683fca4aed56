#!/bin/bash
# A node that begins as a replica: clones the primary where there is no data yet, and starts it.
# What it is afterwards follows from its data (standby.signal), not from this file's name.
set -eu
# shellcheck source-path=SCRIPTDIR source=node-common.sh
. /node/node-common.sh

give_up() { say "no clone within $patience s: $reason"; exit 1; }

drop_slot() { # of a clone that was cut short; the server refuses to drop one that is in use
  run_as_postgres psql -XqAt -d "replication=true" -c "DROP_REPLICATION_SLOT \"$SLOT\"" >/dev/null 2>&1
}

# The application name tells this connection from the replica's own streaming, which has NODE_NAME.
# standby.signal instead of --write-recovery-conf: cluster.conf says whom to follow, and an ALTER SYSTEM
# of a later failover must win over it.
clone() {
  new_data
  run_as_postgres pg_basebackup -D "$new" --checkpoint=fast --wal-method=stream --create-slot --slot="$SLOT" \
    --no-password --no-sync --no-manifest >/dev/null 2>"$log"
}

clone_until_done() {
  local log=$private/clone.log last='' reason='the primary does not accept connections'
  export PGPASSFILE=$private/pgpass PGHOST=$PRIMARY_HOST PGUSER=$REPLICATION_USER
  export PGAPPNAME=clone:$NODE_NAME PGCONNECT_TIMEOUT=5
  local deadline=$((SECONDS + patience))
  while true; do
    until accepts "$PRIMARY_HOST"; do
      ((SECONDS < deadline)) || give_up
      pause 0.1
    done
    clone && break
    reason=$(<"$log")
    if [[ $reason == *"\"$SLOT\" already exists"* ]]; then drop_slot || true; fi
    [[ $reason == "$last" ]] || say "clone failed, trying again: $reason"
    last=$reason
    ((SECONDS < deadline)) || give_up
    rm -rf "$new"
    pause 0.2
  done
  : >"$new/standby.signal"
  chown postgres:postgres "$new/standby.signal"
  finish_data
  unset PGPASSFILE PGHOST PGUSER PGAPPNAME PGCONNECT_TIMEOUT
  say "cloned"
}

prepare_node
if has_data; then
  check_data
else
  say "cloning $PRIMARY_HOST"
  clone_until_done
fi
serve
