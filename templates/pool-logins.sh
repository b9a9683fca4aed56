# shellcheck shell=bash
# The roles that log in through the pool with a password it knows, and how each program wants them written.
# Sourced by the entrypoints of Pgpool-II and of PgBouncer, after node-common.sh.

# Both need the password itself, to answer SCRAM on both sides. It stays in memory, readable by the pool alone;
# encrypting it (Pgpool-II's AES) beside its key would hide nothing and cut it after 79 bytes.
each_login() { # COMMAND: runs it with the user and the password of each role
  local password
  password=$(secret postgres_password)
  "$1" "$POSTGRES_USER" "$password"
  password=$(secret pool_password)
  "$1" "$POOL_USER" "$password"
  # Mounted where the pool must know everyone's: the roles that `pgcluster user` made.
  if [[ -r /logins/users ]]; then each_line "$1" </logins/users; fi
}

each_line() { # COMMAND: the same for standard input: the user, a tab, the password
  local user password
  while IFS=$'\t' read -r user password; do "$1" "$user" "$password"; done
}

pool_passwd_line() { # USER PASSWORD: for Pgpool-II, where \ escapes itself and the colon
  local user=${1//\\/\\\\} password=$2
  if (LC_ALL=C; ((${#password} > 124))); then refuse "the password of $1 is longer than Pgpool-II's 124 bytes"; fi
  password=${password//\\/\\\\}
  printf '%s:TEXT%s\n' "${user//:/\\:}" "${password//:/\\:}"
}

passfile_line() { # USER PASSWORD: for libpq, at every server
  local user=${1//\\/\\\\} password=${2//\\/\\\\}
  printf '*:*:*:%s:%s\n' "${user//:/\\:}" "${password//:/\\:}"
}

# Pgpool-II's processes keep the file open, and one that is busy at a reload does not open it again. What they
# read of it stays in a buffer, of 8 kB at most, in front of which they go back for each login: with more than
# that before the first role they find what is in the file now, and no reload is needed.
pool_passwd_head() {
  local line
  printf -v line '#%099d' 0
  for _ in {1..200}; do printf '%s\n' "$line"; done
}

userlist_line() { # USER PASSWORD: for PgBouncer, where a quote is doubled and nothing else is special
  printf '"%s" "%s"\n' "${1//\"/\"\"}" "${2//\"/\"\"}"
}
