#!/usr/bin/env bash
# Communication side by side with what else there is: ours over shared memory (peer buffers, ordinary buffers) and
# over tcp, against Open MPI, MPICH, torch's Gloo, Open MPI's tcp, and a bare exchange over two sockets. In-place sum
# of floats, buffers rewritten before each iteration, one core a rank, the slowest rank's median; rounds alternate
# between all, so that a noisy machine hits each. Prints tables, and a line for every target: met or missed.
#   scripts/bench/comm.sh [PART...]
# PARTs: two (2 ranks, shared memory), tcp (2 ranks, loopback), four (4 ranks), lanes (reduce_lanes at 2..7 ranks);
# default: all. ROUNDS (default 3). TORCH_PYTHON=/path/to/python adds Gloo. MPICH is measured where mpicxx.mpich is.
# BUILD names a built release folder (default: builds build/release).
source "$(dirname "$0")/../lib/setup.sh"
source scripts/lib/measure.sh

parts=("$@")
[ $# -gt 0 ] || parts=(two tcp four lanes)
rounds=${ROUNDS:-3}
build=${BUILD:-build/release}
[ -n "${BUILD:-}" ] || build_preset release -DLOCKSTEP_TESTS=OFF -DLOCKSTEP_BENCHMARKS=OFF >/dev/null
lockstep=$build/bin/lockstep
[ -x "$lockstep" ] || die "no program $lockstep"

# The peers, built beside ours.
peers=$build/peers
mkdir -p "$peers"
build_peer() { # NAME SOURCE COMPILER...: false without the compiler
  local name=$1 source=scripts/bench/peers/$2
  shift 2
  command -v "$1" >/dev/null || return 1
  [ "$peers/$name" -nt "$source" ] || "$@" -O3 -march=native -o "$peers/$name" "$source" || die "$source: does not compile"
}
has_openmpi=false has_mpich=false has_gloo=false
build_peer sockets socket_exchange.cc "${CXX:-c++}" -std=c++20 || die "no C++ compiler"
build_peer openmpi mpi_allreduce.cc mpicxx.openmpi && has_openmpi=true
build_peer mpich mpi_allreduce.cc mpicxx.mpich && has_mpich=true
[ -x "${TORCH_PYTHON:-}" ] && has_gloo=true
$has_openmpi || note "no mpicxx.openmpi (libopenmpi-dev): Open MPI is left out" >&2
$has_mpich || note "no mpicxx.mpich (libmpich-dev): MPICH is left out" >&2
$has_gloo || note "TORCH_PYTHON names no python: Gloo is left out" >&2

# MIN MAX FACTOR ITERATIONS of the sweeps; `few` where ranks share cores.
sweeps=(8 1024 128 1000 4096 262144 4 200 1048576 16777216 4 40 67108864 268435456 4 8)
few=(8 1024 128 200 4096 262144 4 60 1048576 16777216 4 15 67108864 67108864 4 5)
large=(1048576 16777216 4 20 67108864 268435456 4 6)
middle=(1024 65536 8 100 1048576 16777216 4 10)

openmpi=(mpirun.openmpi --oversubscribe)
command -v mpirun.openmpi >/dev/null || openmpi=(mpirun --oversubscribe)
choose_binding() { if [ "$1" -le "$(cores)" ]; then bind=(--bind-to core); else bind=(--bind-to none); fi; }

# ours RANKS ARGUMENTS... -- SWEEPS: "bytes microseconds" of `lockstep comm`.
ours() {
  local ranks=$1 arguments=()
  shift
  while [ "$1" != -- ]; do
    arguments+=("$1")
    shift
  done
  shift
  while [ $# -gt 0 ]; do
    "${openmpi[@]}" "${bind[@]}" -np "$ranks" "$lockstep" comm "${arguments[@]}" --in-place -c 0 -a 3 -b "$1" -e "$2" \
      -f "$3" -n "$4" | awk '!/^#/ {print $1, $16}' || return 1
    shift 4
  done
}

# measure SYSTEM RANKS SWEEPS...: appends "system part:ranks bytes microseconds" to the raw figures.
measure() {
  local system=$1 ranks=$2 bind
  shift 2
  choose_binding "$ranks"
  case $system in
    shm) ours "$ranks" all_reduce --backend shm -- "$@" ;;
    plain) ours "$ranks" all_reduce --backend shm --plain-buffers -- "$@" ;;
    lanes) ours "$ranks" reduce_lanes --lanes 8 --backend shm -- "$@" ;;
    tcp) ours "$ranks" all_reduce --backend tcp -- "$@" ;;
    bound)
      while [ $# -gt 0 ]; do
        "$lockstep" comm bound --ranks "$ranks" -b "$1" -e "$2" -f "$3" -n "$4" | awk '!/^#/ {print $1, $4}' || return 1
        shift 4
      done
      ;;
    openmpi) "${openmpi[@]}" "${bind[@]}" -np "$ranks" "$peers/openmpi" "$@" ;;
    openmpi-tcp) "${openmpi[@]}" "${bind[@]}" --mca btl tcp,self -np "$ranks" "$peers/openmpi" "$@" ;;
    mpich)
      if [ "$ranks" -le "$(cores)" ]; then
        mpirun.mpich -bind-to core -np "$ranks" "$peers/mpich" "$@"
      else
        mpirun.mpich -np "$ranks" "$peers/mpich" "$@"
      fi
      ;;
    gloo)
      OMP_NUM_THREADS=1 GLOO_SOCKET_IFNAME=lo "$TORCH_PYTHON" -m torch.distributed.run --nproc-per-node "$ranks" \
        --master-addr 127.0.0.1 --master-port "$((20000 + RANDOM % 20000))" scripts/bench/peers/gloo_allreduce.py "$@"
      ;;
    sockets) "$peers/sockets" "$@" ;;
  esac 2>"$scratch/errors" </dev/null | awk -v key="$system $part:$ranks" 'NF == 2 {print key, $1, $2}' >>"$scratch/raw" || {
    cat "$scratch/errors" >&2
    die "$system failed with $ranks ranks (see above)"
  }
}

available() { # SYSTEMS...: those that are there
  local system
  for system in "$@"; do
    case $system in
      openmpi*) $has_openmpi || continue ;;
      mpich) $has_mpich || continue ;;
      gloo) $has_gloo || continue ;;
    esac
    echo "$system"
  done
}

run_part() {
  local system ranks
  case $1 in
    two) for system in $(available shm bound openmpi plain mpich lanes gloo); do measure "$system" 2 "${sweeps[@]}"; done ;;
    tcp) for system in $(available tcp sockets openmpi-tcp gloo); do measure "$system" 2 "${large[@]}"; done ;;
    four) for system in $(available shm openmpi lanes mpich plain); do measure "$system" 4 "${few[@]}"; done ;;
    lanes) for ranks in 2 3 4 5 6 7; do for system in shm lanes; do measure "$system" "$ranks" "${middle[@]}"; done; done ;;
    *) die "no part '$1'; parts: two tcp four lanes" ;;
  esac
  true
}

: >"$scratch/raw"
for ((round = 1; round <= rounds; ++round)); do
  for part in "${parts[@]}"; do
    note "round $round: $part" >&2
    run_part "$part"
  done
done
# "system part:ranks bytes microseconds": medians over the rounds.
sort -k1,3 -s "$scratch/raw" | awk '
  function flush() { if (n) { asort_(); print key, (n % 2 ? v[(n + 1) / 2] : (v[n / 2] + v[n / 2 + 1]) / 2) } n = 0 }
  function asort_(  i, j, t) { for (i = 2; i <= n; ++i) for (j = i; j > 1 && v[j - 1] > v[j]; --j) { t = v[j]; v[j] = v[j - 1]; v[j - 1] = t } }
  { k = $1 " " $2 " " $3; if (k != key) { flush(); key = k } v[++n] = $4 }
  END { flush() }' >"$scratch/medians"

# table PART:RANKS SYSTEMS...: GB/s of payload; microseconds below 1 KiB.
table() {
  local part=$1
  shift
  awk -v part="$part" -v names="$*" '
    function size(b) { return b >= 1048576 ? b / 1048576 " MiB" : b >= 1024 ? b / 1024 " KiB" : b " B" }
    function number(x) { return x >= 100 ? sprintf("%.0f", x) : x >= 10 ? sprintf("%.1f", x) : sprintf(x < 0.1 ? "%.4f" : "%.2f", x) }
    $2 == part { us[$1, $3] = $4; seen[$1] = 1; sizes[$3] = 1 }
    END {
      n = split(names, wanted, " ")
      line = "| bytes |"; rule = "|---|"
      for (i = 1; i <= n; ++i) if (wanted[i] in seen) { line = line " " wanted[i] " |"; rule = rule "---|" }
      print line; print rule
      for (b = 1; b <= 2 ^ 40; b *= 2) if (b in sizes) {
        line = "| " size(b) " |"
        for (i = 1; i <= n; ++i) if (wanted[i] in seen) {
          t = us[wanted[i], b]
          line = line " " (t == "" ? "" : b < 1024 ? number(t) " us" : number(b / t / 1000)) " |"
        }
        print line
      }
    }' "$scratch/medians"
}

# lanes_table: GB/s of all_reduce / of reduce_lanes, a column for every number of ranks.
lanes_table() {
  awk '
    function size(b) { return b >= 1048576 ? b / 1048576 " MiB" : b / 1024 " KiB" }
    split($2, at, ":") && at[1] == "lanes" { us[$1, at[2], $3] = $4; sizes[$3] = 1 }
    END {
      line = "| bytes |"; rule = "|---|"
      for (ranks = 2; ranks <= 7; ++ranks) { line = line " " ranks " ranks |"; rule = rule "---|" }
      print line; print rule
      for (b = 1; b <= 2 ^ 40; b *= 2) if (b in sizes) {
        line = "| " size(b) " |"
        for (ranks = 2; ranks <= 7; ++ranks)
          line = line sprintf(" %.2f / %.2f |", b / us["shm", ranks, b] / 1000, b / us["lanes", ranks, b] / 1000)
        print line
      }
    }' "$scratch/medians"
}

# target WANTED PART:RANKS OURS FROM_BYTES TEXT PEERS...: at every size from FROM_BYTES on, the fastest of PEERS takes at
# least WANTED times as long as OURS.
target() {
  local wanted=$1 part=$2 mine=$3 from=$4 text=$5
  shift 5
  awk -v wanted="$wanted" -v part="$part" -v mine="$mine" -v from="$from" -v text="$text" -v names="$*" '
    function size(b) { return b >= 1048576 ? b / 1048576 " MiB" : b >= 1024 ? b / 1024 " KiB" : b " B" }
    BEGIN { n = split(names, list, " "); for (i = 1; i <= n; ++i) peer[list[i]] = 1 }
    $2 != part || $3 < from { next }
    $1 == mine { ours[$3] = $4 }
    $1 in peer { if (!($3 in best) || $4 < best[$3]) best[$3] = $4 }
    END {
      for (b in ours) if (b in best) { r = best[b] / ours[b]; if (worst == "" || r < worst) { worst = r; at = b + 0 } }
      if (worst == "") exit
      printf "- %s: %s, %.2fx at least (at %s), wanted %gx\n", (worst >= wanted ? "met" : "missed"), text, worst, size(at), wanted
    }' "$scratch/medians"
}

has_part() { [[ " ${parts[*]} " == *" $1 "* ]]; }
echo "$(machine); medians of $rounds rounds; GB/s of payload (algbw), in-place sum of floats, buffers rewritten"
if has_part two; then
  printf '\n2 ranks on one machine\n\n'
  table two:2 shm lanes plain bound openmpi mpich gloo
fi
if has_part tcp; then
  printf '\n2 ranks, tcp over loopback\n\n'
  table tcp:2 tcp sockets openmpi-tcp gloo
fi
if has_part four; then
  printf '\n4 ranks on %s cores\n\n' "$(cores)"
  table four:4 shm lanes plain openmpi mpich
fi
if has_part lanes; then
  printf '\nall_reduce / reduce_lanes (8 lanes), over shared memory\n\n'
  lanes_table
fi
printf '\nTargets (the worst size decides)\n\n'
if has_part two; then
  for system in shm lanes; do
    target 1.5 two:2 "$system" 1024 "2 ranks, $system over the best peer" openmpi mpich gloo
    target 4 two:2 "$system" 67108864 "2 ranks, $system over Open MPI from 64 MiB" openmpi
    target 10 two:2 "$system" 1048576 "2 ranks, $system over Gloo from 1 MiB" gloo
    target 0.85 two:2 "$system" 16777216 "2 ranks, $system of the unsynchronised bound from 16 MiB" bound
  done
  target 1.3 two:2 plain 1 "2 ranks, ordinary buffers over the best peer" openmpi mpich gloo
  awk '$1 == "shm" && $2 == "two:2" && $3 == 8 {
      printf "- %s: 2 ranks, all_reduce of 8 bytes, %.2f us, wanted below 2\n", ($4 < 2 ? "met" : "missed"), $4
    }' "$scratch/medians"
fi
if has_part tcp; then
  target 2 tcp:2 tcp 1048576 "2 ranks, tcp over Gloo from 1 MiB" gloo
  target 1 tcp:2 tcp 1048576 "2 ranks, tcp over Open MPI's tcp from 1 MiB" openmpi-tcp
  target 0.8 tcp:2 tcp 1048576 "2 ranks, tcp of a bare exchange over two sockets from 1 MiB" sockets
fi
if has_part four; then
  for system in shm lanes; do target 3 four:4 "$system" 1 "4 ranks, $system over Open MPI" openmpi; done
fi
if has_part lanes; then
  target 0.625 lanes:3 lanes 1024 "3 ranks, reduce_lanes of all_reduce's speed (1.6x slower at most)" shm
fi
