#!/bin/sh
# What the tests of real clients need beside Python: Debian packages as root with apt, npm packages as anybody.
# What cannot be installed is named; its tests skip with one line.
set -u
here=$(dirname "$0")
"$here/../../tools/install_system.sh" chromium fonts-noto-cjk php-cli php-soap
if command -v npm >/dev/null; then
    npm ci --no-audit --no-fund --loglevel=error --prefix "$here/node" || echo "npm ci failed in $here/node" >&2
else
    echo "Not installed: npm (node-soap). As root: apt-get install nodejs npm" >&2
fi
