# shellcheck shell=bash
# Shared by the benchmarks (sourced after setup.sh): medians, and step times out of RUN/metrics.jsonl.

# The median of the numbers on standard input, one a line.
median() { sort -g | awk '{v[NR] = $1} END {if (NR) print (NR % 2 ? v[(NR + 1) / 2] : (v[NR / 2] + v[NR / 2 + 1]) / 2)}'; }

# step_ms RUN [SKIP]: the median milliseconds of a step, without the first SKIP steps (default 2: they warm up).
step_ms() {
  sed -n 's/.*"step_seconds": *\([0-9.eE+-]*\).*/\1/p' "$1/metrics.jsonl" | tail -n "+$((${2:-2} + 1))" |
    awk '{print $1 * 1000}' | median
}

# A folder that is gone when the script ends.
scratch=$(mktemp -d "${TMPDIR:-/tmp}/lockstep-bench.XXXXXX")
trap 'rm -rf "$scratch"' EXIT

# run_lockstep RANKS CONFIG RUN [ARGUMENTS...]: trains in a fresh folder, one core a rank where there are enough;
# shows the output only when it fails.
run_lockstep() {
  local ranks=$1 config=$2 folder=$3
  shift 3
  rm -rf "$folder"
  "${mpirun[@]}" ${bind:-} -np "$ranks" "${PROGRAM:-build/release/bin/lockstep}" train "$config" --out "$folder" "$@" \
    >"$scratch/log" 2>&1 </dev/null || {
    cat "$scratch/log" >&2
    die "lockstep train $config failed with $ranks ranks (see above)"
  }
}

machine() {
  local model
  model=$(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -n 1)
  echo "$(cores) cores, ${model:-unknown processor}, $(git describe --always --dirty 2>/dev/null || echo 'no git')"
}
