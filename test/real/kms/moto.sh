#!/bin/sh
# Installs moto's server (Apache-2.0, from PyPI) into $1, unless it is there. Prints the path of the program.
set -eu
home="${1:?where to install}"
if [ ! -x "$home/bin/moto_server" ]; then
  python3 -m venv "$home" >&2
  "$home/bin/pip" install --quiet 'moto[server,kms]==5.2.5' >&2
fi
printf '%s\n' "$home/bin/moto_server"
