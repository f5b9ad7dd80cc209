#!/usr/bin/env bash
# How well and how fast a small GPT learns English text: examples/text_gpt.textproto, 2 ranks.
#   scripts/bench/text.sh
source "$(dirname "$0")/../lib/setup.sh"
source scripts/lib/measure.sh

build_preset release -DLOCKSTEP_TESTS=OFF -DLOCKSTEP_BENCHMARKS=OFF >/dev/null
start=$(date +%s.%N)
run_lockstep 2 examples/text_gpt.textproto "$scratch/run"
end=$(date +%s.%N)
machine
awk -v b="$(json_field "$scratch/run/result.json" bits_per_byte)" -v s="$start" -v e="$end" \
  'BEGIN {printf "text_gpt, 2 ranks: %.3f bits per byte on the validation text, %.1f s from start to exit\n", b, e - s}'
