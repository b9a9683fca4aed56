#!/bin/bash
# Sees what Pgpool-II does not, all the time and without pgcluster: a replica that is frozen, that starts, or that
# answers and does not stream is taken out of the pool, and put back when it is well. The primary always stays in.
# Started beside Pgpool-II by pool-entrypoint.sh; `pool-watch.sh report` tells what it thinks.
set -u
# shellcheck source-path=SCRIPTDIR/../slave-template source=node-common.sh
. /pool/node-common.sh

every=1                                 # seconds between two looks at the nodes while all is well,
closely=2                               # and while something is not: what takes a node out is counted in these
patience=2                              # seconds in which a node must answer
thorough=10                             # in each look of so many all nodes are asked themselves
out=12                                  # so many points, in looks without a good one between, take a node out
notes=$private/watch                    # for `report`

declare -A id name status               # by host: Pgpool's number, application name, what Pgpool has it as
declare -A answers                      # by host: its own answer to the last probe
declare -A streams lives                # by application name, what the primary says of it, and heard of it just now
declare -A points good need why         # by host: of failure; looks in a row that were good; how many it needs
declare -A tried leaves                 # by host: was put back, and has not been seen in the pool since; runs empty
with_client='.+ [0-9a-f.:]+\([0-9]+\) ' # how the title of a process with a client begins: user, database, from where
idle=' idle( in transaction)? *$'       # how the title of one that has answered its client ends
hung=' '                                # processes that wait for a node, and how often they had run
hosts=() primary='' refused=0 look=0 stale=1 unseen=0 next=0 lost=0 stuck='' held_up=0 orphaned=0 max_lag=0 clients=100
known=no                                # whether the primary has told in this look
troubled=''                             # not all is well
report=''                               # of the last look: for each node its number and a letter: `i` in the pool, else as in `judge`
texts='' written='' viewed=0            # the files and Pgpool-II's own note as they were read last, and when it was asked
session='' asked='' before=''           # psql's process, whom it asks; which nodes were well last time
exec 5<> <(:)                           # the answers of the probes, a line each

pcp() { timeout 10 "$1" -h /run/pgcluster -U pcp -w "${@:2}" 2>/dev/null; }

# The nodes as of now: scaling rewrites the file. One that is removed is nobody's business from then on.
read_nodes() {
  local line backends pool
  IFS= read -rd '' backends </pool/backends.conf
  IFS= read -rd '' pool </pool/pgpool.conf
  if [[ $backends$pool == "$texts" ]]; then return; fi
  texts=$backends$pool
  hosts=() id=() name=() answers=() leaves=()
  local -A by_number=()
  while read -r line; do
    if [[ $line =~ ^backend_hostname([0-9]+)\ *=\ *\'(.*)\' ]]; then
      hosts+=("${BASH_REMATCH[2]}") by_number[${BASH_REMATCH[1]}]=${BASH_REMATCH[2]}
      id[${BASH_REMATCH[2]}]=${BASH_REMATCH[1]}
    elif [[ $line =~ ^backend_application_name([0-9]+)\ *=\ *\'(.*)\' ]]; then
      name[${by_number[${BASH_REMATCH[1]}]-none}]=${BASH_REMATCH[2]}
    elif [[ $line =~ ^backend_weight([0-9]+)\ *=\ *0$ ]]; then leaves[${by_number[${BASH_REMATCH[1]}]-none}]=1
    elif [[ $line =~ ^delay_threshold\ *=\ *([0-9]+) ]]; then max_lag=${BASH_REMATCH[1]}
    elif [[ $line =~ ^num_init_children\ *=\ *([0-9]+) ]]; then clients=${BASH_REMATCH[1]}
    fi
  done <<<"$texts"
}

# Pgpool-II writes down which nodes it has up: that tells when to ask for its whole view, which costs logins to every node.
note_changes() {
  local now=''
  { IFS= read -rd '' now <"$private/pgpool_status"; } 2>/dev/null
  if [[ $now != "$written" ]]; then written=$now stale=1; fi
}

view_pool() {
  local host state word role seen='' found=''
  while read -r host _ state _ word _ role _; do
    [[ $state == [0-3] ]] || continue
    # Someone took it out, perhaps to stop it: what was good before does not count.
    if [[ $state == 3 ]] && is_up "$host"; then good[$host]=0; fi
    if [[ -n ${tried[$host]-} ]]; then
      if [[ $state == 3 ]]; then refused=$((refused + 1)); else refused=0; fi
      tried[$host]=''
    fi
    status[$host]=$state seen=1
    if [[ $role == primary ]]; then primary=$host found=1; fi
  done < <(pcp pcp_node_info -a)
  if [[ -z $seen ]]; then return 1; fi
  stale=0 viewed=$SECONDS
  # It looks for one only when it starts, and when a node comes or goes.
  if [[ -n $found ]]; then orphaned=0; else orphaned=$((orphaned + 1)) stale=1; fi
  # Its main process waits for something that never comes, such as the answer of a server that has gone without a word.
  if ((refused > 5)); then refused=0; restart_pool "it takes no node back"; fi
  if ((orphaned > 5)) && [[ ${answers[${hosts[0]}]} == well ]]; then
    orphaned=0
    restart_pool "it has no primary, and ${hosts[0]} answers"
  fi
}
is_up() { [[ ${status[$1]-3} == [12] ]]; }

# What a server says to a login of nobody: `well` (it asks for a password, or has too many clients), `starts` (or
# stops), `away` (no server, or no container), `silent`. As `accepts`, and the message tells more.
probe() { # HOST
  local answer='' part text=
  { exec 8<>"/dev/tcp/$1/5432"; } 2>/dev/null || { printf '%s %s away\n' "$look" "$1"; return; }
  printf '\0\0\0\027\0\3\0\0user\0pg_probe\0\0' >&8 2>/dev/null
  IFS= read -rN 1 -t "$patience" -u 8 answer
  if [[ -z $answer ]]; then printf '%s %s silent\n' "$look" "$1"; return; fi
  for _ in {1..8}; do
    IFS= read -rd '' -t 1 -u 8 part || break
    text+="$part "
  done
  if [[ $answer == E && $text == *C57P03* ]]; then answer=starts; else answer=well; fi
  printf '%s %s %s\n' "$look" "$1" "$answer"
}

probe_all() { # HOST…
  local host round word deadline=$((SECONDS + patience + 1)) left=$#
  local -A children=()
  for host in "$@"; do
    answers[$host]=
    probe "$host" >&5 2>/dev/null &
    children[$host]=$!
  done
  while ((left > 0 && SECONDS <= deadline)); do
    read -rt 1 -u 5 round host word || continue
    if [[ $round == "$look" && -n ${children[$host]-} ]]; then
      answers[$host]=$word
      wait "${children[$host]}"
      unset "children[$host]"
      left=$((left - 1))
    fi
  done
  for host in "${!children[@]}"; do
    answers[$host]=silent
    { kill -KILL "${children[$host]}"; wait "${children[$host]}"; } 2>/dev/null
  done
}

# A probe is a process here and another in the node. Who streams and was heard from within the last moment needs none,
# most of the time, nor does a primary that has just answered.
probe_some() {
  local host whom=()
  for host in "${hosts[@]}"; do
    if [[ $known == yes && ${answers[$host]-} == well ]] && ((look % thorough)); then
      if [[ $host == "$primary" ]]; then continue; fi
      if is_up "$host" && [[ ${lives[${name[$host]-}]-} == live ]]; then continue; fi
    fi
    whom+=("$host")
  done
  if ((${#whom[@]})); then probe_all "${whom[@]}"; fi
}

close_session() {
  if [[ -n $session ]]; then { kill -KILL "$session"; wait "$session"; } 2>/dev/null; fi
  session=
}

# One session with the primary for all looks; psql ends when it breaks.
open_session() {
  close_session
  if [[ -e $private/server.pem ]]; then export PGSSLMODE=verify-full PGSSLROOTCERT=$private/server.pem; fi
  coproc PSQL { PGPASSFILE=$private/pgpass PGCONNECT_TIMEOUT=3 PGAPPNAME=pool-watch PGOPTIONS=-cstatement_timeout=3s \
    exec psql -XAtqw -h "$primary" -U "$POOL_USER" -d postgres 2>/dev/null; }
  session=$! asked=$primary
}

# What the primary says of each replica, by application name. Nothing at all where it does not answer.
# In the query stands what this script thinks: `pgcluster status` reads it in pg_stat_activity.
ask_primary() {
  local line query got word deadline=$((SECONDS + patience + 1))
  streams=() lives=() known=no
  if [[ -z $session || -z ${PSQL[1]-} || $primary != "$asked" ]]; then
    # One that is away or frozen would have psql wait.
    if [[ ${answers[$primary]-} != well ]]; then close_session; return; fi
    open_session
  fi
  # Those whose commits wait for every replica read only from replicas that are waited for. A standby tells how far
  # it is each second (wal_receiver_status_interval), by its own clock: one that is ahead is no sign of life.
  query="SELECT 'pool-watch $report.' WHERE false
    UNION ALL SELECT concat_ws(' ', application_name, CASE WHEN state = 'catchup' THEN 'behind'
    WHEN state <> 'streaming' OR replay_lsn IS NULL THEN 'cut'
    WHEN current_setting('synchronous_commit') = 'remote_apply' AND sync_state NOT IN ('sync', 'quorum') THEN 'async'
    WHEN $max_lag > 0 AND pg_wal_lsn_diff(pg_current_wal_lsn(), replay_lsn) > $max_lag THEN 'behind' ELSE 'well' END,
    CASE WHEN clock_timestamp() - reply_time BETWEEN interval '-1.5 s' AND interval '1.5 s' THEN 'live' ELSE 'old' END)
    FROM pg_stat_replication WHERE NOT pg_is_in_recovery()
    UNION ALL SELECT 'end ' || (NOT pg_is_in_recovery()) || ' $look';"
  { printf '%s\n' "${query//$'\n'/ }" >&"${PSQL[1]}"; } 2>/dev/null
  while ((SECONDS <= deadline)); do
    IFS= read -rt 1 -u "${PSQL[0]-}" line 2>/dev/null
    got=$?
    if ((got > 128)); then continue; fi # not yet
    if ((got > 0)); then break; fi
    case $line in
      "end true $look") known=yes; return ;;
      "end "*) break ;;
    esac
    word=${line##* } line=${line% *}
    # A replica that reconnects may have an old connection beside the new one.
    if [[ $line == *' well' || -z ${streams[${line% *}]-} ]]; then
      streams[${line% *}]=${line##* } lives[${line% *}]=$word
    fi
  done
  streams=() lives=()
  close_session
}

# The words for a node's state, their letter, and its points of failure in this look; 0: neither good nor bad.
judge() { # HOST
  local stream=${streams[${name[$1]-}]-cut}
  case ${answers[$1]} in
    silent) letter=s verdict='does not answer' worth=6 ;;
    away) letter=a verdict='is away' worth=4 ;;
    # While it refuses logins, Pgpool-II refuses everybody's.
    starts) letter=b verdict='is starting or stopping' worth=12 ;;
    *)
      letter=w verdict=well worth=0
      if [[ $known == no ]]; then letter=u verdict='cannot be judged while the primary does not answer'
      elif [[ $stream == cut ]]; then letter=c verdict='does not stream' worth=3
      elif [[ $stream == async ]]; then letter=n verdict='is not waited for by commits' worth=3
      elif [[ $stream == behind ]]; then letter=l verdict='is behind by more than MAX_REPLICA_LAG'
      fi
      ;;
  esac
}

take_out() { # HOST
  bash /pool/pool-node.sh detach "${id[$1]}" 2>/dev/null || { stale=1; return; }
  say "$1: taken out of the pool: it ${why[$1]}"
  status[$1]=3 good[$1]=0
  # Someone who keeps going and coming is watched for longer each time, up to a minute.
  need[$1]=$((${need[$1]-1} * 2 > 32 ? 32 : ${need[$1]-1} * 2))
  if [[ ${answers[$1]} == silent ]]; then stuck=$(processes 'accept connection'); fi
}

put_back() { # HOST
  tried[$1]=1 stale=1
  bash /pool/pool-node.sh attach "${id[$1]}" 2>/dev/null || return
  say "$1: back in the pool"
  status[$1]=1 points[$1]=0
}

processes() { # PATTERN: those of Pgpool-II whose title begins so
  local process title
  for process in /proc/[0-9]*; do
    title=''
    { IFS= read -rd '' title <"$process/cmdline"; } 2>/dev/null
    if [[ $title =~ ^'pgpool: '$1 ]]; then printf '%s ' "${process#/proc/}"; fi
  done
}

# Who was connecting to a node when it froze waits for it for ever: nothing but SIGKILL makes Pgpool-II replace such
# a process. It goes on counting the client, so when half of its places are lost it starts anew.
free_the_stuck() {
  local process still count=0
  still=" $(processes 'accept connection')"
  for process in $stuck; do
    if [[ $still == *" $process "* ]] && kill -KILL "$process" 2>/dev/null; then count=$((count + 1)); fi
  done
  stuck='' lost=$((lost + count))
  if ((count > 0)); then say "ended $count connections that waited for a frozen node"; fi
}

# A server that stops says so on each connection. Who reads that together with the answer to what it has just asked
# waits for one answer more, for ever; `pgcluster` avoids it where it stops one. Who has not moved since the last time,
# waits for a node, and has nothing under way with any is ended, so that its client hears of it.
end_the_hung() {
  local process title where ports now='' working count=0
  for process in $(processes "$with_client"); do
    title='' where=''
    { IFS= read -rd '' title <"/proc/$process/cmdline"; IFS= read -rd '' where <"/proc/$process/wchan"; } 2>/dev/null
    # Who is idle waits for its client as well, and so in another way.
    if [[ $where =~ wait_woken|wait_data|recv || $where =~ poll|select && ! $title =~ $idle ]] && runs "$process"; then
      now+=" $process:$ran "
    fi
  done
  for process in $now; do
    if [[ $hung != *" $process "* ]]; then continue; fi
    ports=$(ports_of "${process%:*}")
    if [[ -z $ports ]]; then continue; fi
    if [[ -z ${working-} ]]; then working=" $(working_ports)" || break; fi
    if [[ $working =~ \ (${ports// /|})\  ]]; then continue; fi
    # It may have moved while the nodes were asked.
    if runs "${process%:*}" && [[ $ran == "${process#*:}" ]] && kill -KILL "${process%:*}" 2>/dev/null; then
      count=$((count + 1))
    fi
  done
  hung=$now lost=$((lost + count))
  if ((count > 0)); then say "ended $count connections that waited for a server that has gone"; fi
}

# How often it has run, in `ran`; fails where that is not to be had.
runs() { # PROCESS
  ran=''
  { read -r _ _ ran <"/proc/$1/schedstat"; } 2>/dev/null
  [[ -n $ran ]]
}

# Of a process with a connection that the server has closed, or that was reset and is in no table any more: those by
# which it reaches the others.
ports_of() { # PROCESS
  local port ports=''
  # shellcheck disable=SC2012
  for port in $(ls -l "/proc/$1/fd" 2>/dev/null | awk '
    FILENAME == "-" { if (match($0, /socket:\[[0-9]+/)) mine[substr($0, RSTART + 8, RLENGTH - 8)] = 1; next }
    { inode = FILENAME ~ /unix/ ? $7 : $10; if (!(inode in mine)) next; mine[inode] = 0 }
    $3 ~ /:1538$/ { if ($4 == "08") closed = 1; split($2, at, ":"); if ($4 == "01") found = found " " at[2] }
    END { for (inode in mine) if (mine[inode]) closed = 1; if (closed) print found }
    ' - /proc/net/tcp /proc/net/tcp6 /proc/net/unix); do
    ports+=" $((16#$port))"
  done
  printf '%s' "${ports# }"
}

# By which a node does something for the pool now; fails where one does not tell, or not of everyone.
working_ports() {
  local host answer
  for host in "${hosts[@]}"; do
    if ! is_up "$host"; then continue; fi
    if [[ ${answers[$host]-} != well ]]; then return 1; fi
    answer=$(PGPASSFILE=$private/pgpass PGOPTIONS=-cstatement_timeout=3s timeout 4 psql -XAtqw -h "$host" \
      -U "$POOL_USER" -d postgres -c "SELECT client_port FROM pg_stat_activity
        WHERE client_addr = inet_client_addr() AND state NOT IN ('idle', 'idle in transaction', 'idle in transaction (aborted)')
        AND 1 / pg_has_role('pg_read_all_stats', 'USAGE')::int = 1" 2>/dev/null) ||
      return 1
    printf '%s ' "${answer//$'\n'/ }"
  done
}

restart_pool() { # WHY: its container starts again when Pgpool-II ends
  local main
  say "restarting the pool: $1"
  main=$(head -n 1 /run/pgcluster/pgpool.pid)
  kill -INT "$main"
  pause 5
  kill -KILL "$main"
}

# While a node is frozen, Pgpool-II's check of the lag waits for it, for ever, and holds a lock that attaching needs:
# whoever is behind is taken out here, and nobody is put back, or all clients would wait. If that lasts, the pool
# starts anew, without the frozen node.
decide() {
  local host letter verdict worth answering=0 frozen='' wants='' text="$EPOCHSECONDS"$'\n'
  report='' troubled=''
  if [[ $known == no ]]; then troubled=1; fi
  for host in "${hosts[@]}"; do
    case ${answers[$host]} in
      well) answering=$((answering + 1)) ;;
      silent) frozen=$host ;;
    esac
  done
  for host in "${hosts[@]}"; do
    if [[ $host == "$primary" ]]; then note_member "$host"; continue; fi
    judge "$host"
    if [[ $verdict == *MAX_REPLICA_LAG && -n $frozen ]]; then worth=3; fi
    # Where nobody answers, it is not the node.
    if ((answering == 0)); then worth=0; fi
    if ((worth > 0)); then good[$host]=0 points[$host]=$((${points[$host]-0} + worth)) why[$host]=$verdict
    else
      points[$host]=0
      if [[ $verdict == well ]]; then good[$host]=$((${good[$host]-0} + 1)); fi
    fi
    if is_up "$host"; then
      if ((${good[$host]-0} % 30 == 29 && ${need[$host]-1} > 1)); then need[$host]=$((need[$host] / 2)); fi
      if ((points[$host] >= out)); then take_out "$host"; fi
    elif ((${good[$host]-0} > ${need[$host]-1})) && [[ -z ${leaves[$host]-} && $verdict == well ]]; then
      if [[ -z $frozen ]]; then put_back "$host"; else wants=$host; fi
    fi
    if is_up "$host"; then note_member "$host"
    else text+="$host $verdict"$'\n' report+=" ${id[$host]}$letter"
    fi
    if ((worth > 0)) || ! is_up "$host"; then troubled=1; fi
  done
  printf '%s' "$text" >"$notes"
  if [[ -n $wants ]]; then held_up=$((held_up + 1)); else held_up=0; fi
  if [[ -n $frozen && $frozen != "$primary" ]]; then
    if ((held_up > 5)); then restart_pool "while $frozen is frozen it cannot take $wants back"
    elif ((unseen > 5)); then restart_pool "it does not answer, and $frozen is frozen"
    fi
  fi
}

# Not while the pool may have changed its mind.
note_member() { # HOST
  if ((!stale)) && is_up "$1"; then report+=" ${id[$1]}i"; fi
}

# Is a server there that was not? Pgpool-II may have taken it out itself.
someone_came() {
  local host now=
  for host in "${hosts[@]}"; do
    if [[ ${answers[$host]} == well ]]; then now+=" $host "; fi
  done
  for host in $now; do
    if [[ $before != *" $host "* ]]; then before=$now; return 0; fi
  done
  before=$now
  return 1
}

watch() {
  while true; do
    look=$((look + 1))
    read_nodes
    note_changes
    known=no
    if [[ -n $session ]]; then ask_primary; fi
    probe_some
    # Only now, where there was no session or it has just failed.
    if [[ $known == no && -n $primary ]]; then ask_primary; fi
    if [[ -n $stuck ]]; then free_the_stuck; fi
    if ((look % 5 == 0)); then end_the_hung; fi
    if ((lost * 2 >= clients)); then restart_pool "$lost of its processes were lost to nodes that froze or went"; fi
    if someone_came || ((SECONDS - viewed >= 60 || stale && look >= next)); then
      if view_pool; then unseen=0
      else stale=1 unseen=$((unseen + 1)) next=$((look + (unseen < 5 ? unseen : 10)))
      fi
    fi
    if [[ -n $primary ]]; then decide; else troubled=1; printf '%s\n' "$EPOCHSECONDS" >"$notes"; fi
    # A second look at one that was silent comes sooner.
    if [[ " ${answers[*]} " == *' silent '* ]]; then pause 0.2
    elif [[ -n $troubled ]]; then pause "$closely"
    else pause "$every"
    fi
  done
}

case ${1-} in
  report)                               # seconds since its last look; a line for each node that is out
    for _ in {1..3}; do                 # it may be being written
      at='' rest=''
      { read -r at; rest=$(cat); } <"$notes"
      if [[ -n $at ]]; then break; else pause 0.1; fi
    done
    if [[ -z $at ]]; then exit 1; fi
    printf '%s\n%s\n' "$((EPOCHSECONDS - at))" "$rest"
    ;;
  *)
    trap - INT TERM
    watch
    ;;
esac
