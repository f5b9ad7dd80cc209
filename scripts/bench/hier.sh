#!/usr/bin/env bash
# all_reduce between machines of several ranks against the bound of their links: network namespaces joined by a bridge,
# each link paced to 1 Gbit/s. The bound: 2 (M-1)/M times the array's bytes over the link, for M machines. Needs root.
#   scripts/bench/hier.sh [RANKS_PER_MACHINE]      default: 2
#   LOCKSTEP=path/to/lockstep takes that program in place of a build.
source "$(dirname "$0")/../lib/setup.sh"
source scripts/lib/measure.sh

per_machine=${1:-2}
link=125000000 # bytes a second, each way
size=$((64 << 20))
[ "$(id -u)" = 0 ] || die "network namespaces need root"
command -v nsenter >/dev/null && command -v ip >/dev/null || die "needs ip (iproute2) and nsenter (util-linux)"
if [ -z "${LOCKSTEP:-}" ]; then
  build_preset release -DLOCKSTEP_TESTS=OFF -DLOCKSTEP_BENCHMARKS=OFF >/dev/null
  LOCKSTEP=build/release/bin/lockstep
fi

# Namespaces are those of sleeping processes, so that nothing but these has to be cleaned up.
holders=()
trap 'kill "${holders[@]}" 2>/dev/null || true; rm -rf "$scratch"' EXIT
new_machine() {
  unshare --net sleep 3600 &
  holders+=($!)
  until [ "$(readlink "/proc/${holders[-1]}/ns/net")" != "$(readlink /proc/self/ns/net)" ]; do sleep 0.01; done
}
on() { nsenter --net="/proc/$1/ns/net" "${@:2}"; }

# run MACHINES: measures and prints a line.
run() {
  local machines=$1 bridge m port rank=0 ranks=$(($1 * per_machine)) pids=()
  holders=()
  new_machine
  bridge=${holders[0]}
  on "$bridge" ip link add bridge0 type bridge
  on "$bridge" ip link set bridge0 up
  rm -f "$scratch/meeting"
  for ((m = 1; m <= machines; ++m)); do
    new_machine
    port=port$m
    on "$bridge" ip link add "$port" type veth peer name eth0 netns "${holders[$m]}"
    on "$bridge" ip link set "$port" master bridge0 up
    on "${holders[$m]}" ip addr add "10.77.0.$m/24" dev eth0
    on "${holders[$m]}" ip link set eth0 up
    on "${holders[$m]}" ip link set lo up
  done
  for ((m = 1; m <= machines; ++m)); do
    for ((i = 0; i < per_machine; ++i)); do
      # Round the ring each rank sends on one connection; a machine's ranks divide its link.
      LOCKSTEP_RANK=$rank LOCKSTEP_SIZE=$ranks LOCKSTEP_MEETING=$scratch/meeting \
        on "${holders[$m]}" "$LOCKSTEP" comm all_reduce -b "$size" -e "$size" -n 8 -w 2 --algo ring \
        --backend hier --pace $((link / per_machine)) --deadline 60 >"$scratch/rank$rank" 2>&1 &
      pids+=($!)
      rank=$((rank + 1))
    done
  done
  for pid in "${pids[@]}"; do
    wait "$pid" || {
      cat "$scratch"/rank* >&2
      die "a rank failed (see above)"
    }
  done
  sent=$(on "${holders[1]}" awk '$1 == "eth0:" {print $10}' /proc/net/dev)
  kill "${holders[@]}"
  wait "${holders[@]}" 2>/dev/null || true
  # Size, count, type, op, root; then time (us), algbw, busbw, wrong values: out of place and in place.
  awk -v m="$machines" -v k="$per_machine" -v n="$size" -v link="$link" -v sent="$sent" '
    $1 == n {
      bound = 2 * (m - 1) / m * n / link * 1e6
      printf "%d machines x %d ranks, 64 MiB, 1 Gbit/s a link: %.1f ms in place, %.1f ms not; bound %.1f ms; ",
             m, k, $10 / 1e3, $6 / 1e3, bound / 1e3
      printf "%.1f %% of the bound; machine 0 sent %.2f GB in all\n", 100 * bound / $10, sent / 1e9
    }' "$scratch/rank0"
}

machine
for machines in 2 4; do run "$machines"; done
