#!/usr/bin/env bash
# Runs every fuzz target for FUZZ_SECONDS; what makes one fail is left in fuzz/artifacts.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

seconds=${FUZZ_SECONDS:-60}
if ! cargo fuzz --version >/dev/null 2>&1; then
  echo "skipped: make fuzz needs cargo-fuzz: cargo install cargo-fuzz --locked" >&2
  exit 0
fi
# The product has no unsafe code of its own: what is looked for are panics, hangs and broken promises, and for these the
# compiler that builds the product will do.
cargo fuzz build --sanitizer none
for target in $(cargo fuzz list); do
  mkdir -p "fuzz/corpus/$target"
  echo "fuzz: $target, $seconds s" >&2
  if ! cargo fuzz run --sanitizer none "$target" "fuzz/corpus/$target" "fuzz/seeds/$target" -- \
    -max_total_time="$seconds" -timeout=10 -max_len=4096 -rss_limit_mb=2048 -verbosity=0 -print_final_stats=1; then
    echo "fuzz: $target failed; what made it fail goes into fuzz/seeds/$target when it is mended" >&2
    exit 1
  fi
done
