#!/usr/bin/env bash
# Packs twice, which must give the same bytes, and tries the package and the archive where nothing else is.
set -euo pipefail

BASE=${NODE_BASE:-debian:trixie-slim}
here=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
dist=$here/target/dist

die() {
  printf 'test-dist: %s\n' "$*" >&2
  exit 1
}

docker image inspect "$BASE" >/dev/null 2>&1 || die "no image $BASE: make prepare gets or makes it"
"$here/scripts/dist.sh"
first=$(cat "$dist/SHA256SUMS")
# Another umask, and files that are younger.
(umask 077 && "$here/scripts/dist.sh" 2>/dev/null)
[ "$first" = "$(cat "$dist/SHA256SUMS")" ] || die "packing twice gives two results: $first and $(cat "$dist/SHA256SUMS")"
(cd "$dist" && sha256sum --check --quiet SHA256SUMS)

# A slim image leaves manual pages out unless it is told otherwise.
docker run --rm --interactive --network none --volume "$dist:/dist:ro" "$BASE" bash -eu -s <<'END'
must() { "$@" || { echo "test-dist: failed: $*" >&2; exit 1; }; }
files() { find / -xdev -not -path '/proc/*' -not -path '/var/*' | sort; }
before=$(files)

must dpkg --path-include='/usr/share/man/*' --path-include='/usr/share/doc/*' --install /dist/pgcluster_*.deb >/dev/null
must pgcluster --version
must pgcluster --help >/dev/null
must test -s /usr/share/man/man1/pgcluster.1.gz -a -s /usr/share/man/man1/pgcluster-up.1.gz
must test -s /usr/share/doc/pgcluster/copyright
cat >/tmp/complete <<'BASH'
. /usr/share/bash-completion/completions/pgcluster
complete -p pgcluster >/dev/null || exit
COMP_WORDS=(pgcluster gen) COMP_CWORD=1
_pgcluster pgcluster gen pgcluster
[ "${COMPREPLY[*]}" = generate ]
BASH
must bash /tmp/complete

# No file of the repository is needed: here is none.
mkdir /tmp/alone
must pgcluster -C /tmp/alone --quiet generate 4 >/tmp/first
must test -s /tmp/alone/docker-compose.yml -a -s /tmp/alone/slave-4/slave-entrypoint.sh
must pgcluster -C /tmp/alone generate >/tmp/second
must grep -q 'nothing to do' /tmp/second
rm -r /tmp/alone /tmp/complete /tmp/first /tmp/second

must apt-get -qq -y remove pgcluster >/dev/null
must test "$before" = "$(files)"

must tar -xzf /dist/pgcluster-*.tar.gz -C /tmp
must /tmp/pgcluster-*/pgcluster --version >/dev/null
must test -s /tmp/pgcluster-*/man/man1/pgcluster.1 -a -s /tmp/pgcluster-*/completions/_pgcluster
must test -s /tmp/pgcluster-*/LICENSE -a -s /tmp/pgcluster-*/README.md
END
echo "test-dist: the package and the archive are as they should be"
