#!/bin/bash
# Starts Pgpool-II once the nodes accept connections, so that all of them are up in it from the beginning.
set -eu
# shellcheck source-path=SCRIPTDIR/../slave-template source=node-common.sh
. /pool/node-common.sh
# shellcheck source-path=SCRIPTDIR source=pool-logins.sh
. /pool/pool-logins.sh

# Passwords made at each start, for the commands that run inside this container.
pcp_login() {
  local password sum
  password=$(</proc/sys/kernel/random/uuid)
  sum=$(printf '%s' "$password" | md5sum)
  printf 'pcp:%s\n' "${sum%% *}" | put "$private/pcp.conf"
  printf '*:*:pcp:%s\n' "$password" | put "$private/pcppass"
}

# The primary decides when: as long as it initialises, a replica cannot be there either. A name that Docker
# does not know is a container that does not run: not waited for.
wait_for_nodes() {
  local host line deadline=$((SECONDS + patience)) hosts=()
  while read -r line; do
    if [[ $line =~ ^backend_hostname[0-9]+\ *=\ *\'(.*)\' ]]; then hosts+=("${BASH_REMATCH[1]}"); fi
  done </pool/backends.conf
  for host in "${hosts[@]}"; do
    if ! accepts "$host" && getent hosts "$host" >/dev/null; then
      until accepts "$host" || ((SECONDS >= deadline)); do pause 0.1; done
    fi
    # The hosts begin with the primary; after it, all replicas together have ten seconds.
    if [[ $host == "${hosts[0]}" ]]; then deadline=$((SECONDS + 10)); fi
  done
}

install -d -m 700 -o postgres -g postgres "$private" "$private/oiddir"
logins=$(each_login pool_passwd_line)
printf '%s\n' "$logins" | put "$private/pool_passwd"
pcp_login
# The folder is mounted read-only, so a umask of 077 cannot be mended from here, and a reload would fail too.
(as_postgres cat /pool/{pgpool,backends,pool_hba}.conf) >/dev/null || refuse "postgres must read these: chmod -R a+rX pgpool"
wait_for_nodes
# Whatever the level, Pgpool-II logs a statement that fails on all nodes, and one it cannot parse: with the
# password, where there is one in it.
exec 2> >(exec sed -u -E -e '/(statement|query): "/!b' -e ':more' -e '/(statement|query): ".*"/!{N;b more}' \
  -e 's/(statement|query): ".*" message: /\1 not shown, message: /;t' -e 's/(statement|query): ".*"/\1 not shown/')
# --discard-status: no node stays down because it was so when the pool stopped.
as_postgres pgpool --dont-detach --discard-status --config-file=/pool/pgpool.conf \
  --hba-file=/pool/pool_hba.conf --pcp-file="$private/pcp.conf"
