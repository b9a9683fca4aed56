#!/usr/bin/env bash
# Packs the release binary with its manual pages and completions: an archive and a Debian package in target/dist.
# The same commit gives the same bytes, whatever the time, the user and the place of the checkout.
set -euo pipefail
umask 022
export LC_ALL=C TZ=UTC

here=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
dist=$here/target/dist
cd "$here"

say() { printf 'dist: %s\n' "$*" >&2; }

die() {
  say "$*"
  exit 1
}

for tool in cargo dpkg-deb objdump gzip sha256sum; do
  command -v "$tool" >/dev/null || die "no $tool: on Debian and Ubuntu apt-get install cargo dpkg binutils gzip coreutils"
done

# Files are as old as the commit.
SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct 2>/dev/null || true)}
[ -n "$SOURCE_DATE_EPOCH" ] || die "this is no git checkout: set SOURCE_DATE_EPOCH to the seconds since 1970 that files shall have"
export SOURCE_DATE_EPOCH

# A target folder of its own: other flags would make cargo compile everything again for `make build`. What panics tell
# of source files must not depend on where this user's cargo keeps them. Optimised across crates, the program is two
# thirds as large; that takes no longer from nothing, and twice as long after a change.
cargo_home=${CARGO_HOME:-$HOME/.cargo}
separator=$(printf '\037')
CARGO_ENCODED_RUSTFLAGS="--remap-path-prefix=$here=/pgcluster${separator}--remap-path-prefix=$cargo_home=/cargo" \
  CARGO_TARGET_DIR=$dist/build CARGO_PROFILE_RELEASE_STRIP=symbols CARGO_PROFILE_RELEASE_LTO=thin \
  CARGO_PROFILE_RELEASE_CODEGEN_UNITS=1 cargo build --quiet --release --locked
program=$dist/build/release/pgcluster

version=$("$program" --version)
version=${version##* }
architecture=$(dpkg --print-architecture)
name=pgcluster-$version-$(uname -m)-linux
deb=pgcluster_${version}_$architecture.deb

work=$dist/work
rm -rf "$work" "$dist"/pgcluster[-_]* "$dist/SHA256SUMS"
mkdir -p "$work/made/completions"
"$program" --quiet man --out "$work/made/man"
for shell in bash zsh fish; do "$program" completions "$shell" >"$work/made/completions/$shell"; done

# The archive: to be unpacked anywhere.
top=$work/$name
install -D "$program" "$top/pgcluster"
install -m 644 README.md LICENSE CHANGELOG.md "$top/"
install -D -m 644 "$work/made/completions/bash" "$top/completions/pgcluster.bash"
install -m 644 "$work/made/completions/zsh" "$top/completions/_pgcluster"
install -m 644 "$work/made/completions/fish" "$top/completions/pgcluster.fish"
install -D -m 644 -t "$top/man/man1" "$work"/made/man/*.1
tar --create --directory "$work" --sort=name --mtime="@$SOURCE_DATE_EPOCH" --owner=0 --group=0 --numeric-owner \
  --format=ustar "$name" | gzip -9n >"$dist/$name.tar.gz"

# The package. What it depends on is read from the binary: the newest version of the C library it names.
root=$work/deb
headers=$(objdump -p "$program")
libc=$(sed -n 's/.* GLIBC_\([0-9.]*\)$/\1/p' <<<"$headers" | sort -Vu | tail -n 1)
[ -n "$libc" ] || die "the binary names no version of the C library: is it linked to another one?"
depends="libc6 (>= $libc)"
# Not through a pipe: grep ends at the first match, and whoever still writes into it fails, now and then.
if grep -q 'NEEDED *libgcc_s.so.1' <<<"$headers"; then depends="$depends, libgcc-s1 (>= 4.2)"; fi

install -D "$program" "$root/usr/bin/pgcluster"
install -d "$root/usr/share/man/man1"
for page in "$work"/made/man/*.1; do gzip -9nc "$page" >"$root/usr/share/man/man1/${page##*/}.gz"; done
install -D -m 644 "$work/made/completions/bash" "$root/usr/share/bash-completion/completions/pgcluster"
install -D -m 644 "$work/made/completions/zsh" "$root/usr/share/zsh/vendor-completions/_pgcluster"
install -D -m 644 "$work/made/completions/fish" "$root/usr/share/fish/vendor_completions.d/pgcluster.fish"
install -D -m 644 LICENSE "$root/usr/share/doc/pgcluster/copyright"
install -m 644 README.md "$root/usr/share/doc/pgcluster/README.md"
gzip -9nc CHANGELOG.md >"$root/usr/share/doc/pgcluster/changelog.gz"
size=$(find "$root" -type f -printf '%s\n' | awk '{ kib += int(($1 + 1023) / 1024) } END { print kib }')
mkdir "$root/DEBIAN"
(cd "$root" && find usr -type f -print0 | sort -z | xargs -0 md5sum) >"$root/DEBIAN/md5sums"
cat >"$root/DEBIAN/control" <<END
Package: pgcluster
Version: $version
Architecture: $architecture
Maintainer: ${DEB_MAINTAINER:-the pgcluster authors <pgcluster@localhost>}
Installed-Size: $size
Depends: $depends
Recommends: docker.io | docker-ce | docker-engine, docker-compose (>= 2.21) | docker-compose-v2 | docker-compose-plugin
Section: database
Priority: optional
Description: real PostgreSQL cluster on one machine, under Docker Compose
 One master for writes, as many streaming read replicas as you like, and one
 Pgpool-II endpoint that sends reads to the replicas and writes to the master.
 pgcluster renders Docker Compose files, drives docker compose, and proves that
 the cluster replicates.
END
find "$root" -exec touch --no-dereference --date="@$SOURCE_DATE_EPOCH" {} +
dpkg-deb --root-owner-group -Zgzip -z9 --build "$root" "$dist/$deb" >/dev/null

rm -rf "$work"
(cd "$dist" && sha256sum "$name.tar.gz" "$deb" >SHA256SUMS)
say "$dist/$name.tar.gz"
say "$dist/$deb ($depends)"
