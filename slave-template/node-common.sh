# shellcheck shell=bash
# What the master's, the replicas' and the pool's entrypoints share: sourced by each.
# It runs as root only to read the secrets and to prepare folders; every program starts as postgres.

shopt -s inherit_errexit

node=/node data=/node/pgdata new=/node/pgdata.new
# shellcheck disable=SC2034
copy=/newborn/copy.tar                  # of a cluster that was just made, for its first replicas
private=/run/pgcluster                  # tmpfs, closed to everyone but postgres: passwords in files
# shellcheck disable=SC2034
patience=60                             # seconds to wait for another node before Docker's restart

export HOME=/var/lib/postgresql         # of the user that programs run as: where libpq looks for certificates

exec 6>&2                               # the container's log, wherever a function's output goes
say() { printf '%(%F %T %Z)T [%s] %s\n' -1 "$NODE_NAME" "$*" >&6; }
# 78 is EX_CONFIG: starting again cannot cure it.
refuse() { say "refused: $*"; exit 78; }

# Seconds of sleep without a process: reads from a pipe in which nothing is ever written.
exec 9<> <(:)
pause() { read -rt "$1" -u 9 || true; }

secret() { # NAME: its text, without the newline at the end
  local text
  [[ -r /run/secrets/$1 ]] || refuse "the secret $1 is missing"
  text=$(</run/secrets/"$1")
  [[ -n $text ]] || refuse "the secret $1 is empty"
  printf '%s' "$text"
}

write_to() { # FILE COMMAND…: what it prints, into a file that only root can read
  local file=$1
  shift
  (umask 077; "$@" >"$file")
}
to_postgres() { chown postgres:postgres "$@"; }

# Gives up root for good: no capability and no setuid program brings it back.
as_postgres() { exec setpriv --reuid=postgres --regid=postgres --init-groups --inh-caps=-all --no-new-privs -- "$@"; }
# Runs a program in the background, so that a signal ends it and us at once.
run_as_postgres() {
  (as_postgres "$@") <&0 & child=$!     # <&0: bash gives a background program /dev/null otherwise
  local status=0
  wait "$child" || status=$?
  child=
  return "$status"
}
child=
stop() {
  if [[ -n $child ]]; then kill -TERM "$child" 2>/dev/null || true; wait "$child" || true; fi
  say "stopped while starting"
  exit 143
}
trap stop INT TERM
trap : PIPE

accepts() { # HOST: does a server there ask for a password, i.e. has it finished starting? `connected`: it took the connection
  local answer=
  connected=
  { exec 8<>"/dev/tcp/$1/5432"; } 2>/dev/null || return 1
  # shellcheck disable=SC2034
  connected=yes
  printf '\0\0\0\027\0\3\0\0user\0pg_probe\0\0' >&8 2>/dev/null || true
  IFS= read -rN 1 -t 1 -u 8 answer || true
  # To the end of the message (its eighth zero): the server would log a connection closed before.
  if [[ $answer == R ]]; then for _ in {1..8}; do read -rd '' -t 1 -u 8 || break; done; fi
  exec 8>&-
  [[ $answer == R ]]
}

# Where TLS is on: key and certificates in one file, and for the server's configuration the fingerprint of that.
take_certificate() {
  local sum
  if [[ ! -e /run/secrets/certificate ]]; then return; fi
  write_to "$private/server.pem" cat /run/secrets/certificate
  sum=$(sha256sum "$private/server.pem")
  write_to "$private/tls.conf" printf "pgcluster.certificate = '%s'\n" "${sum:0:16}"
  to_postgres "$private"/{server.pem,tls.conf}
}

# One container a folder: a lock that no server has, kept open through exec, so that it lasts as long as ours. Whoever
# copies data to here shares it, and is waited for: where they end without it, none comes.
take_folder() {
  exec 7<"$node"
  local status=0
  flock --nonblock --conflict-exit-code 75 7 || status=$?
  if ((status == 75)); then
    flock --nonblock --shared 7 || refuse "another container runs on this folder"
    say "waiting for the data that is copied to here"
    flock 7 & child=$!                  # in the background, so that a signal ends us at once
    wait "$child"
    child=
  elif ((status != 0)); then
    say "warning: this file system has no locks"
  fi
}

# Folders and passwords where postgres finds them. By few programs: each takes 2 to 3 ms.
prepare_node() {
  [[ -w $node ]] || refuse "the folder is read-only"
  # A umask of 077 closes these to postgres. Where they cannot be opened from here (with data in a volume they are
  # mounted read-only) they must be open. A private key among them stays closed.
  chmod -f a+rX "$node" "$node/config" "$node"/config/*.conf ||
    (as_postgres cat "$node"/config/*.conf) >/dev/null ||
    refuse "postgres must read its configuration: chmod -R a+rX on the folder config"
  install -d -m 700 -o postgres -g postgres "$private" /run/postgresql
  take_certificate
  # Every node has it, as each may become a standby: primary_conninfo names this file.
  local user=${REPLICATION_USER//\\/\\\\} password
  password=$(secret replication_password)
  password=${password//\\/\\\\}
  write_to "$private/pgpass" printf '*:*:*:%s:%s\n' "${user//:/\\:}" "${password//:/\\:}"
  to_postgres "$private/pgpass"
  take_folder
}

# True where a data directory is: a complete one, as nothing else gets that name.
has_data() {
  [[ ! -L $data ]] || refuse "pgdata is a symbolic link: move the directory itself here"
  if [[ -e $new || -L $new ]]; then rm -rf "$new"; fi
  [[ -e $data ]] || return
  rmdir "$data" 2>/dev/null || return 0 # an empty one holds nothing to keep
  return 1
}

check_data() { # can this server use it?
  local major version
  [[ -f $data/PG_VERSION ]] || refuse "pgdata holds no PostgreSQL data"
  major=$(postgres --version)
  major=${major##*(PostgreSQL) } major=${major%%.*}
  version=$(<"$data/PG_VERSION")
  [[ $version == "$major" ]] || refuse "pgdata was made by PostgreSQL $version, this server is $major"
  if [[ $(stat -c %U "$data") != postgres ]]; then
    say "pgdata belongs to someone else: giving it to postgres"
    chown -R --no-dereference postgres:postgres "$data"
  fi
  chmod u=rwx,g-w,o= "$data"
  must_be_closed "$data"
}

# The server starts only on a directory that is its own and closed to others.
must_be_closed() {
  [[ $(stat -c %U:%a "$1") =~ ^postgres:7[05]0$ ]] ||
    refuse "this file system keeps no owners and modes, as Windows' do not: set DATA=volume in .env"
}

new_data() {
  install -d -m 700 -o postgres -g postgres "$new" || true
  must_be_closed "$new"
}
# Into place by one rename, when everything is on the disk. One syncfs rather than an fsync for each of a
# newborn cluster's 968 files: 56 ms against 856 while containers start, and with another process writing
# 1 GB to the same file system, which it has to wait for, still 1.0 s against 2.3 (medians of five).
finish_data() {
  sync --file-system "$new"
  into_place
}

into_place() {
  mv -T "$new" "$data"
  sync "$node"
}

serve() {
  cd /
  as_postgres postgres -D "$PGDATA" -c config_file="$node/config/cluster.conf" \
    -c hba_file="$node/config/cluster_hba.conf" -c ident_file="$node/config/cluster_ident.conf"
}
