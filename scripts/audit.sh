#!/usr/bin/env bash
# The dependencies by the rules of deny.toml and the RustSec advisories. ADVISORY_DB=DIR: a clone of the advisory database
# that is there already, for machines that reach no other.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

checked=''
if cargo deny --version >/dev/null 2>&1; then
  checked=1
  cargo deny --locked check --hide-inclusion-graph licenses bans sources
  if [[ -z ${ADVISORY_DB-} ]]; then cargo deny --locked check --hide-inclusion-graph advisories; fi
fi
if cargo audit --version >/dev/null 2>&1; then
  checked=1
  options=()
  if [[ -n ${ADVISORY_DB-} ]]; then options=(--db "$ADVISORY_DB" --no-fetch --stale); fi
  for lock in Cargo.lock fuzz/Cargo.lock; do cargo audit --deny warnings ${options[@]+"${options[@]}"} --file "$lock"; done
fi
if [[ -z $checked ]]; then
  echo "skipped: make audit needs cargo-deny or cargo-audit: cargo install cargo-deny --locked" >&2
fi
