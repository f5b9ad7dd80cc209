#!/usr/bin/env bash
# What the promise costs: step time of reduction REPRODUCIBLE against UNORDERED, 8 lanes, the same micro-batches.
#   scripts/bench/reproducible_cost.sh [MODEL...]        MODELs: gpt10m resnet18
# WORLDS (default "1 2 3 4"), ROUNDS (default 3), STEPS (default 6) and BATCH (a sample count; default the example's).
source "$(dirname "$0")/../lib/setup.sh"
source scripts/lib/measure.sh

models=("$@")
[ $# -gt 0 ] || models=(gpt10m resnet18)
read -r -a worlds <<<"${WORLDS:-1 2 3 4}"
build_preset release -DLOCKSTEP_TESTS=OFF -DLOCKSTEP_BENCHMARKS=OFF >/dev/null

bind="--bind-to none" # one rank may use every core
batch=()
[ -z "${BATCH:-}" ] || batch=(--set "global_batch=$BATCH")
for ((round = 1; round <= ${ROUNDS:-3}; ++round)); do
  for model in "${models[@]}"; do
    for world in "${worlds[@]}"; do
      threads=$(($(cores) / world))
      for reduction in REPRODUCIBLE UNORDERED; do
        note "round $round: $model, $world ranks, $reduction" >&2
        run_lockstep "$world" "examples/bench/$model.textproto" "$scratch/run" --set lanes=8 \
          --set "reduction=$reduction" --set "execution.threads=$((threads > 0 ? threads : 1))" \
          --steps "${STEPS:-6}" "${batch[@]}"
        step_ms "$scratch/run" 1 >>"$scratch/$model.$world.$reduction"
      done
    done
  done
done

machine
echo "8 lanes; medians of ${ROUNDS:-3} rounds of ${STEPS:-6} steps"
echo
echo "| model | ranks | UNORDERED ms/step | REPRODUCIBLE ms/step | cost |"
echo "|---|---|---|---|---|"
for model in "${models[@]}"; do
  for world in "${worlds[@]}"; do
    r=$(median <"$scratch/$model.$world.REPRODUCIBLE")
    u=$(median <"$scratch/$model.$world.UNORDERED")
    awk -v m="$model" -v w="$world" -v r="$r" -v u="$u" \
      'BEGIN {printf "| %s | %d | %.1f | %.1f | %+.1f %% |\n", m, w, u, r, 100 * (r / u - 1)}'
  done
done
