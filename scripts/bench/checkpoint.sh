#!/usr/bin/env bash
# What checkpoints cost while training goes on: seconds of training with one every K steps against none.
#   scripts/bench/checkpoint.sh [MODEL...]        MODELs of examples/bench (default: mlp gpt10m)
# WORLDS (default "1 2"), ROUNDS (default 5), EVERY (K; default by model: mlp 500, gpt10m 10), SAVES a run (default 3),
# SHARD_MIB (default 16, so that two ranks write together) and DISK, a folder (default: a temporary one).
source "$(dirname "$0")/../lib/setup.sh"
source scripts/lib/measure.sh

models=("$@")
[ $# -gt 0 ] || models=(mlp gpt10m)
read -r -a worlds <<<"${WORLDS:-1 2}"
[ -n "${NO_BUILD:-}" ] || build_preset release -DLOCKSTEP_TESTS=OFF -DLOCKSTEP_BENCHMARKS=OFF >/dev/null
run=${DISK:-$scratch}/checkpoint-bench-run
trap 'rm -rf "$scratch" "$run"' EXIT
saves=${SAVES:-3}

default_every() { case "$1" in mlp) echo 500 ;; *) echo 10 ;; esac; }
# Milliseconds a step of the whole loop, snapshots included (step_seconds of metrics leaves them out).
loop_ms() {
  sed -n 's/.*"seconds": *\([0-9.eE+-]*\).*/\1/p' "$run/result.json" | awk -v n="$1" '{print 1000 * $1 / n}'
}
# Milliseconds of a snapshot, during which training stands still.
snapshot_ms() {
  grep '"snapshot"' "$run/trace.json" | sed -n 's/.*"dur": *\([0-9.eE+-]*\).*/\1/p' | awk '{print $1 / 1000}' | median
}

for ((round = 1; round <= ${ROUNDS:-5}; ++round)); do
  for model in "${models[@]}"; do
    every=${EVERY:-$(default_every "$model")}
    steps=$((every * saves + every / 2))
    for world in "${worlds[@]}"; do
      for k in 0 "$every"; do
        note "round $round: $model, $world ranks, a checkpoint every $k steps" >&2
        run_lockstep "$world" "examples/bench/$model.textproto" "$run" --trace --set "steps=$steps" --set "lanes=2" \
          --set "execution.checkpoint.every_steps=$k" --set "execution.checkpoint.shard_mib=${SHARD_MIB:-16}"
        loop_ms "$steps" >>"$scratch/$model.$world.$((k > 0))"
        [ "$k" = 0 ] || snapshot_ms >>"$scratch/$model.$world.snapshot"
        [ "$k" = 0 ] || du -sm "$run"/checkpoints/step-* | awk '{print $1}' | tail -n 1 >"$scratch/$model.$world.size"
      done
    done
  done
done

machine
echo "medians of ${ROUNDS:-5} rounds, with and without in turn; spread: (max - min) / median of the runs without"
echo
echo "| model | ranks | MiB | every | ms/step without | with | cost | spread | snapshot ms | of K steps |"
echo "|---|---|---|---|---|---|---|---|---|---|"
for model in "${models[@]}"; do
  every=${EVERY:-$(default_every "$model")}
  for world in "${worlds[@]}"; do
    f=$scratch/$model.$world
    awk -v m="$model" -v w="$world" -v k="$every" -v a="$(median <"$f.0")" -v b="$(median <"$f.1")" \
      -v lo="$(sort -g "$f.0" | head -n 1)" -v hi="$(sort -g "$f.0" | tail -n 1)" \
      -v s="$(median <"$f.snapshot")" -v size="$(cat "$f.size")" 'BEGIN {
        printf "| %s | %d | %d | %d | %.2f | %.2f | %+.2f %% | %.1f %% | %.1f | %.2f %% |\n",
          m, w, size, k, a, b, 100 * (b / a - 1), 100 * (hi - lo) / a, s, 100 * s / (k * a)}'
  done
done
