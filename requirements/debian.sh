#!/bin/sh
# Installs Debian packages with apt. Only root can do that; for other users it prints the command to run.
set -eu
if [ "$(id -u)" -ne 0 ]; then
    echo "Missing on this machine: $*. Run 'sudo apt-get install $*', then make again." >&2
    exit 1
fi
apt-get update -qq
DEBIAN_FRONTEND=noninteractive apt-get install -y -qq "$@" >/dev/null
