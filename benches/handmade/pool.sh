#!/bin/bash
# Pgpool-II once all its nodes accept: started before, it takes seconds more to find them.
set -eu
# shellcheck source-path=SCRIPTDIR source=common.sh
. /handmade/common.sh

node() { printf "backend_hostname%d = '%s'\nbackend_port%d = 5432\nbackend_weight%d = %d\n" "$1" "$2" "$1" "$1" "$3"; }

{
  cat <<'END'
backend_clustering_mode = 'streaming_replication'
listen_addresses = '*'
port = 5432
unix_socket_directories = '/tmp'
pid_file_name = '/tmp/pgpool.pid'
work_dir = '/tmp'
pcp_socket_dir = '/tmp'
pcp_listen_addresses = ''
num_init_children = 32
max_pool = 1
sr_check_user = 'postgresadmin'
sr_check_database = 'postgres'
sr_check_period = 1
memory_cache_enabled = off
memqcache_total_size = 1MB
memqcache_max_num_cache = 1024
END
  node 0 master 0
  for ((n = 1; n <= REPLICAS; n++)); do node "$n" "$REPLICA$n" 1; done
} >/tmp/pgpool.conf
: >/tmp/pcp.conf
for ((n = 1; n <= REPLICAS; n++)); do until accepts "$REPLICA$n"; do pause 0.05; done; done
exec pgpool -n -D -f /tmp/pgpool.conf -F /tmp/pcp.conf
