# The pool image: Pgpool-II, and PgBouncer for the transaction and statement modes.
# A base of its own: the Pgpool-II 4.6.1 of Debian trixie has defects that the 4.7 of forky has not.
# Only syntax that the classic builder and the BuildKit of Engine 20.10 both know.
ARG POOL_BASE=debian:forky-slim
FROM ${POOL_BASE}
# The pool runs as the user "postgres" (999:999): Debian's pgpool2 and pgbouncer both expect that name.
# Fixed before any package is there, as mounted files on the host belong to these ids. The key that
# ssl-cert makes would be the same in every copy of this image.
RUN set -eu; \
    export DEBIAN_FRONTEND=noninteractive; \
    groupadd --system --gid 999 postgres; \
    useradd --system --uid 999 --gid postgres --home-dir /var/lib/postgresql --shell /bin/bash postgres; \
    apt-get update -qq; \
    apt-get install -qq -y --no-install-recommends pgpool2 pgbouncer postgresql-client util-linux bash >/dev/null; \
    for real in /usr/lib/postgresql/*/bin; do ln -sT "$real" /usr/lib/postgresql/client; done; \
    install -d -m 2775 -o postgres -g postgres /run/postgresql /run/pgpool /run/pgbouncer; \
    apt-get clean; \
    rm -rf /etc/ssl/private/ssl-cert-snakeoil.key /etc/ssl/certs/ssl-cert-snakeoil.pem \
      /var/lib/apt/lists/* /var/cache/debconf/*-old /var/log/apt /var/log/dpkg.log

# Debian's psql in /usr/bin is a Perl wrapper: the real programs come first. The link has no
# version in its name, because forky's client moves on.
ENV PATH=/usr/lib/postgresql/client:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
    LANG=C.UTF-8
# For Pgpool-II SIGINT is the fast shutdown.
STOPSIGNAL SIGINT
