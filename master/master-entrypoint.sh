#!/bin/bash
# The node that begins as the primary: makes the database cluster where there is none, and starts it.
# What it is afterwards follows from its data (standby.signal), not from this file's name.
set -eu
# shellcheck source-path=SCRIPTDIR/../slave-template source=node-common.sh
. /node/node-common.sh

ident() { printf '"%s"' "${1//\"/\"\"}"; }
literal() { printf "'%s'" "${1//\'/\'\'}"; }

# One statement a line: that is how a single-user server reads. It has no TCP port, no other client and
# no start-up to wait for.
roles_and_database() {
  # initdb cannot do these two itself: it fails for a name with a quote in it, and then prints the password.
  # No role can rename itself, hence the other one.
  if [[ $POSTGRES_USER != postgres ]]; then
    printf 'CREATE ROLE "pgcluster renames" SUPERUSER;\nSET SESSION AUTHORIZATION "pgcluster renames";\n'
    printf 'ALTER ROLE postgres RENAME TO %s;\n' "$(ident "$POSTGRES_USER")"
    printf 'SET SESSION AUTHORIZATION %s;\nDROP ROLE "pgcluster renames";\n' "$(ident "$POSTGRES_USER")"
  fi
  printf 'ALTER ROLE %s PASSWORD %s;\n' "$(ident "$POSTGRES_USER")" "$(literal "$superuser_password")"
  if [[ $extended == ready ]]; then
    printf 'ALTER DATABASE "pgcluster newborn" RENAME TO %s;\n' "$(ident "$POSTGRES_DB")"
  else
    if [[ $extended == other ]]; then printf 'DROP DATABASE "pgcluster newborn";\n'; fi
    if [[ $POSTGRES_DB != postgres ]]; then printf 'CREATE DATABASE %s;\n' "$(ident "$POSTGRES_DB")"; fi
  fi
  printf 'CREATE ROLE %s LOGIN REPLICATION PASSWORD %s;\n' \
    "$(ident "$REPLICATION_USER")" "$(literal "$replication_password")"
  # The pool's checks read the state of replication, and no table of anyone's.
  printf 'CREATE ROLE %s LOGIN PASSWORD %s IN ROLE pg_monitor;\n' \
    "$(ident "$POOL_USER")" "$(literal "$pool_password")"
  printf "SELECT 'all' || ' made';\n"
}

# Statements from standard input, by a server that nobody else can reach, and that waits for no standby. It exits
# with 0 after an error, so its words count. A failed statement must not be logged: it may hold a password.
single_user() { # DATABASE WHAT OPTION…
  local database=$1 what=$2 text password
  shift 2
  run_as_postgres postgres --single -D "$new" "$@" -c fsync=off -c log_statement=none \
    -c log_min_error_statement=panic -c synchronous_standby_names= "$database" >"$log" 2>&1 || true
  text=$(<"$log")
  if [[ $text == *'all made'* && ! $text =~ (ERROR|FATAL|PANIC): ]]; then return; fi
  for password in "$superuser_password" "$replication_password" "$pool_password"; do
    text=${text//"$password"/***}
  done
  printf '%s\n' "$text" >&2
  say "$what could not be made"
  exit 1
}

with_its_end() { cat "$1"; printf "SELECT 'all' || ' made';\n"; }

extensions() { # SCRIPT DATABASE: those of EXTENSIONS, with the libraries that they want loaded
  local script=$node/config/cluster_$1.sql
  [[ -s $script ]] || return 0
  write_to "$private/init.sql" with_its_end "$script"
  single_user "$2" "the extensions" -c config_file="$node/config/cluster.conf" <"$private/init.sql"
}

refuse_unknown_extensions() {
  local line
  while read -r line; do
    [[ $line =~ \"(.*)\" ]] || continue
    compgen -G "/usr/share/postgresql/*/extension/${BASH_REMATCH[1]}.control" >/dev/null \
      || refuse "EXTENSIONS names ${BASH_REMATCH[1]}, which this image lacks: add its Debian package to EXTRA_PACKAGES"
  done < <(cat "$node"/config/cluster_*.sql 2>/dev/null)
}

# A copy of files that no server uses yet is a whole cluster, and is unpacked in a tenth of the time of a base
# backup. It holds what pgdata holds, so only root can read it. Without it the replicas clone.
pack_copy() { # while the new data goes to the disk
  [[ -d ${copy%/*} ]] && (umask 077 && run_as_postgres tar --create --directory="$new" . >"$copy.new")
}

# Before the server starts: a replica that finds a server and no copy takes a base backup. Afterwards the copy serves
# for a minute, if `up` does not remove it before. The process that waits belongs to the container's init.
offer_copy() {
  mv "$copy.new" "$copy"
  (exec 7<&-; pause 60; rm -f "$copy") &
}

# The locale decides about sorting (built in, the same on every machine) and, by libc's C.UTF-8, what a letter is in
# full-text search. The rules for logging in are cluster_hba.conf: those that initdb writes let nobody in.
initdb_options=(--username=postgres --auth=reject --encoding=UTF8 --locale=C.UTF-8 --locale-provider=builtin
  --builtin-locale=C.UTF-8 --data-checksums)

# One sync at the end replaces those of each step. Without TZ initdb compares the machine's time zone with all that
# there are, for a configuration that nobody reads: that takes as long as half of the rest.
run_initdb() {
  rm -rf "$new"
  new_data
  TZ=GMT run_as_postgres initdb -D "$new" "${initdb_options[@]}" --no-sync --no-instructions >"$log" 2>&1 ||
    { cat "$log" >&2; say "initdb failed"; exit 1; }
  # Of what has a smaller number pg_dump thinks that it is PostgreSQL's own, and a single-user server would go on from there.
  run_as_postgres pg_resetwal --next-oid=16384 -D "$new" >"$log" 2>&1 ||
    { cat "$log" >&2; say "pg_resetwal failed"; exit 1; }
}

# The image has one ready that was made with the same options. It gets an identity of its own, and what pg_controldata
# says of it decides whether it is used.
unpack_newborn() {
  local ready=/usr/local/share/pgcluster identity facts
  [[ -r $ready/newborn.tar && $(<"$ready/newborn.options") == "${initdb_options[*]}" ]] || return 1
  run_as_postgres tar --extract --directory="$new" <"$ready/newborn.tar" >"$log" 2>&1 || return 1
  run_as_postgres perl "$ready/new-identity.pl" "$new/global/pg_control" >"$private/identity" 2>"$log" || return 1
  identity=$(<"$private/identity")
  run_as_postgres pg_resetwal -D "$new" >"$log" 2>&1 || return 1
  facts=$(as_postgres pg_controldata -D "$new" 2>"$log") || return 1
  [[ -n $identity && $facts =~ 'Database system identifier: '\ *"$identity"$'\n' ]] || return 1
  [[ $facts =~ 'Database cluster state: '\ *'shut down'$'\n' ]] || return 1
  if [[ ! -e $ready/newborn.sql ]]; then return; fi
  if [[ $POSTGRES_DB != postgres && ! -s $node/config/cluster_template1.sql && -s $node/config/cluster_database.sql &&
    $(<"$ready/newborn.sql") == "$(<"$node/config/cluster_database.sql")" ]]
  then extended=ready
  else extended=other
  fi
}

initialise() {
  local log=$private/init.log superuser_password replication_password pool_password packing
  local extended=no                     # ready: what was unpacked has a database with the extensions; other: with others
  superuser_password=$(secret postgres_password)
  replication_password=$(secret replication_password)
  pool_password=$(secret pool_password)
  refuse_unknown_extensions
  say "initialising"
  new_data
  unpack_newborn || run_initdb
  extensions template1 template1
  write_to "$private/init.sql" roles_and_database
  single_user postgres "the roles and the database" -c shared_preload_libraries= <"$private/init.sql"
  if [[ $extended != ready ]]; then extensions database "$POSTGRES_DB"; fi
  rm "$private/init.sql" "$log"
  # The replicas wait for the copy, so it is made while the disk takes the data, and offered when this cluster is there.
  pack_copy & packing=$!
  sync --file-system "$new"
  wait "$packing" || packing=
  into_place
  if [[ -n $packing ]]; then (offer_copy) || true; else rm -f "$copy.new"; fi
  say "initialised"
}

prepare_node
if [[ -e $copy || -e $copy.new ]]; then rm -f "$copy" "$copy.new" || true; fi   # of another start
if has_data; then check_data; else initialise; fi
serve
