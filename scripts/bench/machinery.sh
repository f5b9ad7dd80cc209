#!/usr/bin/env bash
# What being able to survive costs while nothing fails: milliseconds a step with recovery in place on and off, in
# turn. On: membership, a thread that watches the other processes, marks of work under way.
#   scripts/bench/machinery.sh [MODEL...]      MODELs of examples/bench (default: mlp gpt10m)
# WORLD (default 2), ROUNDS (default 7), STEPS (default by model), NO_BUILD=1.
source "$(dirname "$0")/../lib/setup.sh"
source scripts/lib/measure.sh

models=("$@")
[ $# -gt 0 ] || models=(mlp gpt10m)
world=${WORLD:-2} rounds=${ROUNDS:-7}
[ -n "${NO_BUILD:-}" ] || build_preset release -DLOCKSTEP_TESTS=OFF -DLOCKSTEP_BENCHMARKS=OFF >/dev/null

steps_of() { case "$1" in mlp) echo 400 ;; *) echo 25 ;; esac; }
for ((round = 1; round <= rounds; ++round)); do
  for model in "${models[@]}"; do
    settings=(OFF ON)
    [ $((round % 2)) = 1 ] || settings=(ON OFF) # so that what warms up or cools down takes turns, too
    for recovery in "${settings[@]}"; do
      run_lockstep "$world" "examples/bench/$model.textproto" "$scratch/run" --set "steps=${STEPS:-$(steps_of "$model")}" \
        --set "lanes=$world" --set "execution.recovery=$recovery" --set execution.integrity.every_steps=0
      step_ms "$scratch/run" >>"$scratch/$model.$recovery"
    done
  done
done

machine
echo "$world ranks, medians of $rounds rounds of alternating runs; spread: (max - min) / median of the runs without"
echo
echo "| model | ms/step without | with recovery | cost | spread | goal: under 1 % |"
echo "|---|---|---|---|---|---|"
for model in "${models[@]}"; do
  f=$scratch/$model
  awk -v m="$model" -v a="$(median <"$f.OFF")" -v b="$(median <"$f.ON")" -v lo="$(sort -g "$f.OFF" | head -n 1)" \
    -v hi="$(sort -g "$f.OFF" | tail -n 1)" 'BEGIN {
      printf "| %s | %.3f | %.3f | %+.2f %% | %.1f %% | %s |\n", m, a, b, 100 * (b / a - 1), 100 * (hi - lo) / a,
        b / a < 1.01 ? "met" : "MISSED"}'
done
