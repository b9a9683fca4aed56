#!/bin/bash
# pool-node.sh attach|detach NUMBER: has Pgpool-II take a node in or out, and no client wait longer for that than it takes.
#
# While it does that, for some ten milliseconds, a process that is to take a client sleeps for a second before it looks
# again (4.7, wait_for_failover_to_finish), and all who come after wait with it, as they are let in one after the other. The
# signal by which Pgpool-II itself calls its processes ends that sleep, but for one that is in the middle of a login and
# takes no signals.
set -u

sleeps() { # PROCESS
  local where=''
  { IFS= read -rd '' where <"/proc/$1/wchan"; } 2>/dev/null
  [[ $where == *nanosleep* ]]
}

wakes() { ! sleeps "$1"; }

await() { # ROUNDS COMMAND…
  local round
  for ((round = 0; round < $1; round++)); do
    if "${@:2}"; then return; fi
    sleep 0.02
  done
}

title() { # PROCESS, to REPLY
  REPLY=''
  { IFS= read -rd '' REPLY <"/proc/$1/cmdline"; } 2>/dev/null
}

# Those that check the nodes sleep as well, all the time.
serves() { # PROCESS
  title "$1"
  [[ $REPLY == 'pgpool: '* && $REPLY != 'pgpool: '@(health|worker|PCP)* ]]
}

# What checks the replicas' lag and the main process exclude each other when that looks for the primary, as it does when a
# node comes in: who comes second sleeps for a second, here in the middle of it. So the check is held up while it rests
# anyway, by all who want that together: it has to begin anew afterwards, and would be at work when the next node comes.
hold_check() {
  exec 6>/run/pgcluster/held
  flock -s 6
  await 60 check_stands
}
check_stands() {
  local process state=''
  for process in /proc/[0-9]*; do
    title "${process#/proc/}"
    if [[ $REPLY == 'pgpool: worker'* ]]; then check=${process#/proc/}; fi
  done
  { IFS= read -r state <"/proc/$check/stat"; } 2>/dev/null
  [[ $state == *') T '* ]] || { sleeps "$check" && kill -STOP "$check"; }
}
let_check_go() {
  if [[ -n $check ]] && flock -xn 6; then kill -CONT "$check"; fi
}

# When all is done, and no process goes to sleep for it any more, the main process does, for a second in which it takes no
# signal and begins nothing. Who was about to lie down then is found by looking again.
wake() {
  local process round found=1
  if [[ -n $slept ]]; then await 60 wakes "$main"; fi
  # It may have processes to start before, and comes to it late.
  await 200 sleeps "$main"
  for round in {1..10}; do
    if ((!found && round > 2)); then break; fi
    found=0
    for process in /proc/[0-9]*; do
      process=${process#/proc/}
      if sleeps "$process" && serves "$process" && kill -USR2 "$process"; then found=1; fi
    done
    sleep 0.02
  done
  await 60 wakes "$main"
  let_check_go
}

main='' slept='' check=''
read -r main </run/pgcluster/pgpool.pid # no newline ends it
if [[ $1 == attach ]]; then hold_check; fi
if sleeps "$main"; then slept=1; fi     # after what it did before
timeout 10 "pcp_$1_node" -h /run/pgcluster -U pcp -w -n "$2" >/dev/null || { let_check_go; exit 1; }
wake </dev/null >/dev/null 2>&1 &
