#!/bin/bash
# Pgpool-II with the configuration that its package brings, and what it does not run, or not balance, without here: where
# no node has a weight, it computes NaN for each and sends all to the first. `cached`: with the query cache for those who ask.
set -eu
{
  cat /etc/pgpool2/pgpool.conf
  cat <<'END'
listen_addresses = '*'
port = 5432
unix_socket_directories = '/tmp'
pcp_socket_dir = '/tmp'
pid_file_name = '/tmp/pgpool.pid'
work_dir = '/tmp'
enable_pool_hba = on
pool_passwd = '/node/pool_passwd'
sr_check_user = 'pgpool_check'
sr_check_database = 'postgres'
num_init_children = 64
END
  number=0
  for host in postgres-master postgres-slave1 postgres-slave2 postgres-slave3; do
    printf "backend_hostname%d = '%s'\nbackend_port%d = 5432\nbackend_weight%d = 1\n" \
      "$number" "$host" "$number" "$number"
    number=$((number + 1))
  done
  if [[ ${1-} == cached ]]; then
    echo "memory_cache_enabled = on"
    echo "memqcache_oiddir = '/tmp/oiddir'"
    echo "allow_sql_comments = on"
    echo "cache_unsafe_memqcache_table_list = '.*'"
  fi
} >/tmp/pgpool.conf
mkdir -p /tmp/oiddir
echo 'host all all all scram-sha-256' >/tmp/pool_hba.conf
: >/tmp/pcp.conf
exec pgpool -n -D -f /tmp/pgpool.conf -a /tmp/pool_hba.conf -F /tmp/pcp.conf
