#!/bin/bash
# Starts PgBouncer once Pgpool-II, to which it connects, accepts connections itself.
set -eu
# shellcheck source-path=SCRIPTDIR/../slave-template source=node-common.sh
. /bouncer/node-common.sh
# shellcheck source-path=SCRIPTDIR source=pool-logins.sh
. /bouncer/pool-logins.sh

install -d -m 700 -o postgres -g postgres "$private"
take_certificate
write_to "$private/userlist.txt" each_login userlist_line
to_postgres "$private/userlist.txt"
# The folder is mounted read-only, so a umask of 077 cannot be mended from here.
(as_postgres cat /bouncer/pgbouncer.ini) >/dev/null || refuse "postgres must read this: chmod -R a+rX pgbouncer"
until pg_isready -q -h pgpool-loadbalancer -p 5432 -t 1 || ((SECONDS >= patience)); do pause 0.2; done
as_postgres pgbouncer /bouncer/pgbouncer.ini
