# Compiles for Windows: forky's Rust has the source of its standard library, which is built for the target too.
ARG BASE=debian:forky-slim
FROM ${BASE}
RUN set -eu; \
    export DEBIAN_FRONTEND=noninteractive; \
    apt-get update -qq; \
    apt-get install -qq -y --no-install-recommends ca-certificates cargo gcc gcc-mingw-w64-x86-64-win32 libc6-dev \
      rustc rust-src >/dev/null; \
    rm -rf /var/lib/apt/lists/*
