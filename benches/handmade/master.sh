#!/bin/bash
# A cluster with a user and a database, as fast as PostgreSQL makes one.
set -eu
# shellcheck source-path=SCRIPTDIR source=common.sh
. /handmade/common.sh
data=/node/master

initdb -D "$data" -U postgresadmin --auth=trust --encoding=UTF8 --locale=C --wal-segsize=1 --no-sync --no-instructions \
  >/dev/null
echo 'CREATE DATABASE postgresdb STRATEGY file_copy;' | postgres --single -D "$data" -c fsync=off postgres >/dev/null
printf 'host all all all trust\nhost replication all all trust\n' >>"$data/pg_hba.conf"
say initialised
exec postgres -D "$data" -c listen_addresses='*' -c unix_socket_directories=/tmp -c cluster_name=master \
  -c max_connections=250 -c max_wal_senders=50 -c wal_keep_size=256MB
