# Runs programs of Windows.
ARG BASE=debian:trixie-slim
FROM ${BASE}
RUN set -eu; \
    export DEBIAN_FRONTEND=noninteractive; \
    apt-get update -qq; \
    apt-get install -qq -y --no-install-recommends wine wine64 >/dev/null; \
    rm -rf /var/lib/apt/lists/*
