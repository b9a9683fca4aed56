#!/bin/bash
# A clone of the master. Without WAL in it (-X none): the server streams what it lacks, in one connection instead of two.
set -eu
# shellcheck source-path=SCRIPTDIR source=common.sh
. /handmade/common.sh
data=/node/$HOSTNAME

until accepts master; do pause 0.05; done
until pg_basebackup -D "$data" -h master -U postgresadmin -c fast -X none -N --no-manifest; do
  rm -rf "$data"
  pause 0.1
done
: >"$data/standby.signal"
say cloned
exec postgres -D "$data" -c listen_addresses='*' -c unix_socket_directories=/tmp -c cluster_name="$HOSTNAME" \
  -c max_connections=250 -c max_wal_senders=50 -c primary_conninfo="host=master user=postgresadmin"
