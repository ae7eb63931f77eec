#!/bin/bash
# rgw-down.sh -d DIR: ends the processes whose ids rgw-up.sh wrote under DIR, and no others; then removes DIR.
set -uo pipefail
DIR=""
while getopts d: option; do
  case $option in d) DIR=$OPTARG ;; *) exit 2 ;; esac
done
[ -f "$DIR/ceph.conf" ] || { echo "rgw-down.sh: ${DIR:-(no directory)} was not made by rgw-up.sh" >&2; exit 2; }
PIDS=$(cat "$DIR"/run/*.pid 2>/dev/null)
# SIGKILL: radosgw takes more than five seconds to leave politely, and everything it holds is in memory.
for pid in $PIDS; do kill -9 "$pid" 2>/dev/null; done
alive() { for pid in $PIDS; do kill -0 "$pid" 2>/dev/null && return 0; done; return 1; }
for _ in $(seq 100); do alive || break; sleep .05; done
rm -rf "$DIR"
