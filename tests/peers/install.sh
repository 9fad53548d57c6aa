#!/bin/sh
# Installs the independent programs of `make test-peers`: npm ocpp-rpc (from the lock file) and mbpoll (Debian).
set -eu
cd "$(dirname "$0")"
npm ci --silent --no-audit --no-fund
if ! command -v mbpoll >/dev/null 2>&1; then
    if [ "$(id -u)" = 0 ]; then sudo=; else sudo=sudo; fi
    $sudo apt-get update -qq
    $sudo apt-get install -y -qq mbpoll
fi
