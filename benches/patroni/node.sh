#!/bin/bash
# One of the nodes: which one leads, they find out among themselves.
set -eu
cat >/tmp/patroni.yml <<END
scope: bench
name: "$HOSTNAME"
restapi: {listen: "0.0.0.0:8008", connect_address: "$HOSTNAME:8008"}
etcd3: {host: "etcd:2379"}
bootstrap:
  dcs: {ttl: 30, loop_wait: 10, retry_timeout: 10}
  initdb: [{encoding: UTF8}, {auth: trust}]
postgresql:
  listen: "0.0.0.0:5432"
  connect_address: "$HOSTNAME:5432"
  data_dir: "/node/$HOSTNAME"
  bin_dir: /usr/lib/postgresql/17/bin
  pgpass: /tmp/pgpass
  authentication: {superuser: {username: postgresadmin}, replication: {username: postgresadmin}}
  parameters: {unix_socket_directories: /tmp}
  pg_hba: ["local all all trust", "host all all all trust", "host replication all all trust"]
END
exec patroni /tmp/patroni.yml
