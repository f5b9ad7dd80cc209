#!/usr/bin/env bash
# JPEG to a sample of 224 x 224 on one core, beside a plain loop over libjpeg-turbo with scaled decoding (medians of
# five; pictures a second are items_per_second).
#   scripts/bench/images.sh
source "$(dirname "$0")/../lib/setup.sh"
build_preset release
taskset -c 0 build/release/bin/image_bench --benchmark_repetitions=5 --benchmark_report_aggregates_only=true \
  --benchmark_counters_tabular=true "$@"
