#!/bin/bash
# A node that begins as a replica: becomes a copy of the primary where there is no data yet, and starts it.
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

wait_for_primary() {
  until accepts "$PRIMARY_HOST"; do
    ((SECONDS < deadline)) || give_up
    pause 0.05
  done
}

# The primary offers a copy before its server starts: where that accepts and no copy is there, none comes.
find_copy() {
  local looks=0
  until [[ -f $copy ]]; do
    if ((looks++ % 10 == 0)) && accepts "$PRIMARY_HOST"; then [[ -f $copy ]]; return; fi
    ((SECONDS < deadline)) || give_up
    pause 0.05
  done
}

# Unpacks the primary's copy of itself as it was made. A slot that begins where the copy ends, in the same history,
# says that the primary has made no checkpoint since: it has removed no WAL, and keeps for this replica all that the
# copy lacks. Everything else (another cluster, a primary that has moved on, half a copy) is not used.
unpack_copy() {
  local facts id redo line answers=()
  find_copy || return 1
  new_data
  run_as_postgres tar --extract --directory="$new" <"$copy" 2>"$log" || return 1
  facts=$(as_postgres pg_controldata -D "$new" 2>"$log") || return 1
  [[ $facts =~ 'Database system identifier: '\ *([0-9]+) ]] || return 1
  id=${BASH_REMATCH[1]}
  [[ $facts =~ 'Database cluster state: '\ *'shut down'$'\n' ]] || return 1
  [[ $facts =~ 'REDO location: '\ *([0-9A-F/]+)$'\n' ]] || return 1
  redo=${BASH_REMATCH[1]}
  wait_for_primary
  # The slot may be there, of an attempt that was cut short. Each answer is a line.
  run_as_postgres psql -XqAt -d "replication=true" -c IDENTIFY_SYSTEM \
    -c "CREATE_REPLICATION_SLOT \"$SLOT\" PHYSICAL RESERVE_WAL" \
    -c "READ_REPLICATION_SLOT \"$SLOT\"" >"$private/slot" 2>"$log" || return 1
  while read -r line; do answers+=("$line"); done <"$private/slot"
  if [[ ${answers[0]-} == "$id|1|"* && ${answers[-1]} == "physical|$redo|1" ]]; then return; fi
  drop_slot || true
  return 1
}

clone_until_done() {
  local log=$private/clone.log last='' reason='the primary does not accept connections'
  export PGPASSFILE=$private/pgpass PGHOST=$PRIMARY_HOST PGUSER=$REPLICATION_USER
  export PGAPPNAME=clone:$NODE_NAME PGCONNECT_TIMEOUT=5
  if [[ -e $private/server.pem ]]; then export PGSSLMODE=verify-full PGSSLROOTCERT=$private/server.pem; fi
  local deadline=$((SECONDS + patience)) how=cloned
  if unpack_copy; then how="unpacked the primary's copy"; else rm -rf "$new"; fi
  until [[ $how != cloned ]]; do
    wait_for_primary
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
  to_postgres "$new/standby.signal"
  finish_data
  unset PGPASSFILE PGHOST PGUSER PGAPPNAME PGCONNECT_TIMEOUT PGSSLMODE PGSSLROOTCERT
  say "$how"
}

prepare_node
if has_data; then
  check_data
else
  say "cloning $PRIMARY_HOST"
  clone_until_done
fi
serve
