#!/bin/bash
# Waits until what clients have from before is over; run inside a container of Pgpool-II or PgBouncer.
set -eu

# Logins that go on now: each connects to every node that was up when it began, and reads from one that it chose then.
logins() {
  local process title
  for process in /proc/[0-9]*; do
    title=''
    { IFS= read -rd '' title <"$process/cmdline"; } 2>/dev/null || true
    if [[ $title == 'pgpool: accept connection'* ]]; then printf ' %s ' "${process#/proc/}"; fi
  done
}

ask() { psql -XAqw -h /run/pgcluster -p 5432 -U pgbouncer -d pgbouncer -c "$1"; }
servers() {
  ask 'SHOW SERVERS' | awk -F'|' 'NR == 1 { for (i = 1; i <= NF; i++) if ($i == "id") at = i }
    NR > 1 && NF > 1 { printf " %s ", $at }'
}
# PgBouncer's RECONNECT would also cut the connections that are logging in, and then refuse the clients that wait for
# them ("server login has been failing"). A lifetime that only those of before exceed ends each when nobody uses it.
shorten() { ask "SET server_lifetime = '$((age / 1000000)).$(printf %06d $((age % 1000000)))'"; }

# Detaching is done when Pgpool-II's main process comes to it, and notes it: a login may count on the node until then.
# While it writes the file, that is empty.
are_down() {
  local id states=()
  mapfile -t states </run/pgcluster/pgpool_status
  ((${#states[@]} > 0)) || return
  for id; do [[ ${states[id]-down} == down ]] || return; done
}

verb=$1 limit=$2 ids=("${@:3}")         # seconds; the numbers of nodes that are being detached
note=3                                  # seconds: a login may have marked it as up again before that was noted
begin=${EPOCHREALTIME/[.,]/} age=0
while ((${#ids[@]} > 0)) && ! are_down "${ids[@]}" && ((age < note * 1000000)); do
  sleep 0.05
  age=$((${EPOCHREALTIME/[.,]/} - begin))
done
case $verb in
  logins) old=$(logins) ;;
  servers)
    old=$(servers)
    trap 'ask RELOAD' EXIT
    ;;
esac
while [[ -n $old ]] && ((age < limit * 1000000)); do
  sleep 0.05
  age=$((${EPOCHREALTIME/[.,]/} - begin))
  if [[ $verb == servers ]]; then shorten; fi
  now=$("$verb")
  for login in $old; do
    if [[ $now != *" $login "* ]]; then old=${old/ $login /}; fi
  done
done
