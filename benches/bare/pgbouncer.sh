#!/bin/bash
# PgBouncer with its own defaults in front of one replica, and what it does not run without.
set -eu
cat >/tmp/pgbouncer.ini <<'END'
[databases]
* = host=postgres-slave1 port=5432
[pgbouncer]
pool_mode = transaction
listen_addr = *
listen_port = 5432
unix_socket_dir = /tmp
auth_type = scram-sha-256
auth_file = /node/userlist.txt
max_prepared_statements = 200
END
exec pgbouncer /tmp/pgbouncer.ini
