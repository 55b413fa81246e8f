#!/bin/sh
# Installs Debian packages through apt when root; otherwise says what to run.
set -eu
if [ "$(id -u)" -ne 0 ]; then
    echo "Missing on this machine: $*. Run 'sudo apt-get install $*', then make again." >&2
    exit 1
fi
apt-get update -qq
DEBIAN_FRONTEND=noninteractive apt-get install -y -qq "$@" >/dev/null
