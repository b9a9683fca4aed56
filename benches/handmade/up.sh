#!/bin/bash
# In a folder with compose.yaml and .env: the master first, and while it runs initdb all others.
set -eu
docker compose up -d master
exec docker compose up -d --scale replica="$1"
