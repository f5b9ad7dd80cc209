#!/usr/bin/env bash
# How well and how fast the digits are learned: examples/digits_cnn.textproto, 2 ranks.
#   scripts/bench/digits.sh
source "$(dirname "$0")/../lib/setup.sh"
source scripts/lib/measure.sh

build_preset release -DLOCKSTEP_TESTS=OFF -DLOCKSTEP_BENCHMARKS=OFF >/dev/null
start=$(date +%s.%N)
run_lockstep 2 examples/digits_cnn.textproto "$scratch/run"
end=$(date +%s.%N)
machine
awk -v a="$(json_field "$scratch/run/result.json" accuracy)" -v s="$start" -v e="$end" \
  'BEGIN {printf "digits_cnn, 2 ranks: accuracy %.2f %% of 360 images, %.1f s from start to exit\n", 100 * a, e - s}'
