#!/bin/bash
# rgw-up.sh -d DIR -p PORT [-t MAX_CONCURRENT]
# Ceph's S3 gateway over one monitor and one OSD in memory, on 127.0.0.1, without systemd; all state is under DIR.
# Needs (Debian): apt-get install -y --no-install-recommends ceph-mon ceph-osd radosgw
# Prints "READY <endpoint> <access key> <secret key>". PORT+10000 to PORT+10099 are used as well. rgw-down.sh -d DIR ends it.
set -euo pipefail
DIR="" PORT=7480 CONCURRENT=1024
while getopts d:p:t: option; do
  case $option in d) DIR=$OPTARG ;; p) PORT=$OPTARG ;; t) CONCURRENT=$OPTARG ;; *) exit 2 ;; esac
done
[ -n "$DIR" ] || { echo "rgw-up.sh: -d DIR is missing" >&2; exit 2; }
MON=$((PORT + 10000)) MON_V1=$((PORT + 10001))
ACCESS=testing SECRET=testing-secret
mkdir -p "$DIR"/{mon,osd,run,log}
FSID=$(</proc/sys/kernel/random/uuid)
export CEPH_CONF="$DIR/ceph.conf"

# ms_*_mode=crc: radosgw insists on secure connections otherwise, and hangs without authentication.
# tcp_nodelay=1: else nearly every request waits 44 ms. paxos_propose_interval: else the start takes ten seconds more.
# rgw_crypt_require_ssl=false: customer keys over plain http, on this machine only.
{
  cat <<EOF
[global]
fsid = $FSID
mon_host = [v2:127.0.0.1:$MON/0,v1:127.0.0.1:$MON_V1/0]
public_addr = 127.0.0.1
cluster_addr = 127.0.0.1
auth_cluster_required = none
auth_service_required = none
auth_client_required = none
ms_mon_client_mode = crc
ms_mon_service_mode = crc
ms_mon_cluster_mode = crc
ms_crc_data = false
ms_bind_port_min = $((PORT + 10010))
ms_bind_port_max = $((PORT + 10099))
run_dir = $DIR/run
admin_socket = $DIR/run/\$name.asok
pid_file = $DIR/run/\$name.pid
log_file = $DIR/log/\$name.log
crash_dir = $DIR/log
osd_pool_default_size = 1
osd_pool_default_min_size = 1
osd_pool_default_pg_autoscale_mode = off
osd_crush_chooseleaf_type = 0
mon_allow_pool_size_one = true
mon_max_pg_per_osd = 1000
mon_data_avail_crit = 1
mon_data_avail_warn = 2
EOF
  for part in rgw osd objecter mon paxos ms auth rocksdb monc mgrc rados objclass optracker heartbeatmap throttle timer \
    finisher tp asok context crush client; do
    echo "debug_$part = 0/0"
  done
  cat <<EOF
[mon]
mon_data = $DIR/mon
mon_cluster_log_file = $DIR/log/cluster.log
paxos_propose_interval = 0.05
paxos_min_wait = 0.01
[osd]
osd_data = $DIR/osd
osd_objectstore = memstore
memstore_device_bytes = 8589934592
memstore_page_set = false
osd_memory_target = 1073741824
osd_min_pg_log_entries = 50
osd_max_pg_log_entries = 100
osd_enable_op_tracker = false
osd_class_load_list = *
osd_class_default_list = *
[client]
rgw_frontends = beast endpoint=127.0.0.1:$PORT tcp_nodelay=1
rgw_thread_pool_size = 64
rgw_max_concurrent_requests = $CONCURRENT
rgw_crypt_require_ssl = false
rgw_crypt_s3_kms_backend = testing
rgw_crypt_s3_kms_encryption_keys = testkey-1=YmluCmJvb3N0CmJvb3N0LWJ1aWxkCmNlcGguY29uZgo= testkey-2=aWIKTWFrZWZpbGUKbWFuCm91dApzcmMKVGVzdGluZwo=
rgw_gc_obj_min_wait = 5
rgw_gc_processor_period = 5
rgw_gc_max_objs = 7
EOF
} >"$CEPH_CONF"

monmaptool --create --fsid "$FSID" --addv a "[v2:127.0.0.1:$MON,v1:127.0.0.1:$MON_V1]" "$DIR/monmap" >/dev/null
ceph-mon -i a --mkfs --monmap "$DIR/monmap"
ceph-mon -i a
OSD=$(</proc/sys/kernel/random/uuid)
ceph --connect-timeout 20 osd new "$OSD" >/dev/null
ceph-osd -i 0 --mkfs --osd-uuid "$OSD" 2>"$DIR/log/mkfs.err" || { cat "$DIR/log/mkfs.err" >&2; exit 1; }
ceph-osd -i 0 2>/dev/null
up() { ceph osd stat 2>/dev/null | grep -q '1 up'; }
for _ in $(seq 400); do up && break; sleep .05; done
up || { echo "rgw-up.sh: the OSD did not come up; see $DIR/log" >&2; exit 1; }
# Made beforehand: the first request would wait for them.
for pool in .rgw.root default.rgw.log default.rgw.control default.rgw.meta default.rgw.buckets.index \
  default.rgw.buckets.data default.rgw.buckets.non-ec; do
  ceph osd pool create $pool 8 8 >/dev/null 2>&1
done
radosgw -n client.rgw.a
listens() { curl -s -o /dev/null "http://127.0.0.1:$PORT/"; }
for _ in $(seq 600); do listens && break; sleep .05; done
listens || { echo "rgw-up.sh: the gateway did not come up; see $DIR/log" >&2; exit 1; }
radosgw-admin user create --uid=test --display-name=test --access-key=$ACCESS --secret-key=$SECRET >/dev/null
echo "READY http://127.0.0.1:$PORT $ACCESS $SECRET"
