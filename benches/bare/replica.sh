#!/bin/bash
# A replica of a running pgcluster, made by hand: clone, start. The settings are those a standby must have as large as
# its primary's.
set -eu
export PGPASSFILE=/node/pgpass PGAPPNAME=clone
pg_basebackup -D /node/pgdata -d "host=postgres-master user=replication_user" -c fast -X stream
: >/node/pgdata/standby.signal
exec postgres -D /node/pgdata -c listen_addresses='*' -c unix_socket_directories=/tmp -c max_connections=250 \
  -c max_wal_senders=210 -c max_replication_slots=210 -c max_worker_processes=32 -c max_locks_per_transaction=128 \
  -c primary_conninfo="host=postgres-master user=replication_user passfile=/node/pgpass application_name=$1"
