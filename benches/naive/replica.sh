#!/bin/bash
set -eu
data=/node/$HOSTNAME
pg_basebackup -D "$data" -d "host=master user=postgresadmin application_name=$HOSTNAME" -R -X stream
exec postgres -D "$data" -c listen_addresses='*' -c unix_socket_directories=/tmp
