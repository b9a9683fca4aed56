#!/bin/bash
# As the images of PostgreSQL do it: initdb, a server for the set-up, stop, and start for good.
set -eu
data=/node/master
initdb -D "$data" -U postgresadmin --auth=trust >/dev/null
printf 'host all all all trust\nhost replication all all trust\n' >>"$data/pg_hba.conf"
pg_ctl -D "$data" -o '-c listen_addresses= -c unix_socket_directories=/tmp' -w start >/dev/null
psql -h /tmp -U postgresadmin -d postgres -c 'CREATE DATABASE postgresdb'
pg_ctl -D "$data" -w stop >/dev/null
# Without wal_keep_size the master's next checkpoint now and then takes a replica's WAL away, and it never comes.
exec postgres -D "$data" -c listen_addresses='*' -c unix_socket_directories=/tmp -c wal_keep_size=256MB
