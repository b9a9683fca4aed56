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
  write_to "$private/pcp.conf" printf 'pcp:%s\n' "${sum%% *}"
  write_to "$private/pcppass" printf '*:*:pcp:%s\n' "$password"
}

look_at() { # HOST: is it up, down or frozen? Then it takes the connection and says nothing for a second.
  local started=${EPOCHREALTIME/[.,]/} connected
  if accepts "$1"; then state=up
  # It may also be the name that took so long, where nobody knows it.
  elif [[ -n $connected ]] && ((${EPOCHREALTIME/[.,]/} - started > 900000)); then state=frozen
  else state=down
  fi
}

# Without its primary Pgpool-II would be of no use, also later: it looks for one when it starts. As long as that one
# initialises, a replica cannot be there either.
wait_for_primary() { # HOST
  local state nap=0.1
  look_at "$1"
  until [[ $state == up ]]; do
    if [[ $nap != 1 ]] && ((SECONDS > patience)); then nap=1; say "waiting for $1"; fi
    pause "$nap"
    look_at "$1"
  done
}

# All replicas together have ten seconds, and their containers two: they start together with this one. A name that Docker
# does not know by then is a container that does not run: not waited for, and no more a server that is frozen. Pgpool-II
# would ask that one too, and wait for ever: it starts with those that are there, and the watcher attaches the others.
wait_for_nodes() {
  local host line state deadline known there hosts=() number last=0
  while read -r line; do
    if [[ $line =~ ^backend_hostname([0-9]+)\ *=\ *\'(.*)\' ]]; then
      last=${BASH_REMATCH[1]} hosts[last]=${BASH_REMATCH[2]}
    fi
  done </pool/backends.conf
  wait_for_primary "${hosts[0]}"
  states=(up) deadline=$((SECONDS + 10)) known=$((SECONDS + 2))
  for ((number = 1; number <= last; number++)); do
    host=${hosts[number]-}
    states[number]=unused
    if [[ -z $host ]]; then continue; fi
    look_at "$host"
    there=
    until [[ $state != down ]] || { getent hosts "$host" >/dev/null && there=1; } || ((SECONDS >= known)); do
      pause 0.1
      look_at "$host"
    done
    if [[ -n $there ]]; then
      until [[ $state != down ]] || ((SECONDS >= deadline)); do pause 0.05; look_at "$host"; done
    fi
    if [[ $state == up ]]; then states[number]=up; else states[number]=down; fi
  done
}

# Beside Pgpool-II, as a child of the container's first process, so that neither has to know of the other.
start_watcher() {
  (
    while true; do
      (as_postgres bash /pool/pool-watch.sh) || true
      say "the watcher ended: starting it again"
      pause 1
    done &
  )
}

# A process of Pgpool-II that is told to stop while it writes to its log may wait for ever: how it ends it writes there as well,
# and that needs a lock of the C library that it holds. Pgpool-II waits for all of its processes when it stops; so what is
# left of them seconds after those that wait for clients, and that for orders, have ended is killed.
end_the_stuck() {
  (
    while true; do
      pause 1
      processes=(/proc/[0-9]*)
      if ((${#processes[@]} * 2 > clients)); then left=0; else left=$((left + 1)); fi
      if ((left > 2)) && ! pgrep -f '^pgpool: (wait for connection|PCP)' >/dev/null; then
        (as_postgres pkill -KILL -f '^pgpool: ') || true
        left=0
      fi
    done &
  )
}

install -d -m 700 -o postgres -g postgres "$private" "$private/oiddir"
take_certificate
logins() { pool_passwd_head; each_login pool_passwd_line; }
write_to "$private/pool_passwd" logins
pcp_login
password=$(secret pool_password)
write_to "$private/pgpass" passfile_line "$POOL_USER" "$password"
unset password
# The folder is mounted read-only, so a umask of 077 cannot be mended from here, and a reload would fail too.
(as_postgres cat /pool/{pgpool,backends,pool_hba}.conf) >/dev/null || refuse "postgres must read these: chmod -R a+rX pgpool"
# What Pgpool-II wrote there when it stopped is not read: no node stays down because it was so then.
states=()
wait_for_nodes
write_to "$private/pgpool_status" printf '%s\n' "${states[@]}"
to_postgres "$private"/{pool_passwd,pcp.conf,pcppass,pgpass,pgpool_status}
start_watcher
clients=0 left=0
if [[ $(</pool/pgpool.conf) =~ $'\n'num_init_children\ *=\ *([0-9]+) ]]; then clients=${BASH_REMATCH[1]}; fi
end_the_stuck
# Else each line of the log looks for the machine's time zone, under that lock.
export TZ=UTC0
# Whatever the level, Pgpool-II logs a statement that fails on all nodes, and one it cannot parse: with the
# password, where there is one in it.
exec 2> >(exec sed -u -E -e '/(statement|query): "/!b' -e ':more' -e '/(statement|query): ".*"/!{N;b more}' \
  -e 's/(statement|query): ".*" message: /\1 not shown, message: /;t' -e 's/(statement|query): ".*"/\1 not shown/')
# With more clients than processors, who is woken does not interrupt who works: a tenth more reads. Not every engine allows it.
chrt -b -p 0 $$ 2>/dev/null || true
as_postgres pgpool --dont-detach --config-file=/pool/pgpool.conf \
  --hba-file=/pool/pool_hba.conf --pcp-file="$private/pcp.conf"
