#!/usr/bin/env bash
# scripts/lib/fuzz.sh BUILD SECONDS: runs every fuzz target of the build folder BUILD for SECONDS, as many at a time
# as there are cores. Inputs that reached something new stay in BUILD/corpus for the next time; one that failed is
# named. To repeat it: BUILD/tests/bin/NAME_fuzz FILE. To keep it: copy it to tests/fuzz/corpus/NAME.
source "$(dirname "$0")/setup.sh"
[ $# -eq 2 ] || die "use: scripts/lib/fuzz.sh BUILD SECONDS"
build=$1
seconds=$2

export ASAN_OPTIONS=max_allocation_size_mb=512
export LSAN_OPTIONS=suppressions=$root/tests/lsan.supp:print_suppressions=0

run_target() {
  local name=$1 log=$build/corpus/$1.log folders=("$build/corpus/$1")
  mkdir -p "$build/corpus"
  "$build/tests/bin/${name}_fuzz" -write_seeds="${folders[0]}"
  [ ! -d "tests/fuzz/corpus/$name" ] || folders+=("tests/fuzz/corpus/$name")
  local options=(-max_total_time="$seconds")
  if grep -q '^LOCKSTEP_LIBFUZZER:BOOL=ON' "$build/CMakeCache.txt"; then
    options+=(-timeout=20 -rss_limit_mb=2048 -artifact_prefix="$build/corpus/$name-" -print_final_stats=1)
  fi
  if "$build/tests/bin/${name}_fuzz" "${options[@]}" "${folders[@]}" >"$log" 2>&1; then
    note "$name: $(grep -E '^(stat::number_of_executed_units|fuzz:.*all the way)' "$log" | tail -n 2 | tr '\n' ' ')"
  else
    tail -n 60 "$log"
    note "$name: failed; $log has more"
    return 1
  fi
}

# `wait -n` gives the result of one of them; the others' are asked for in turn.
failed=0
running=0
for source in tests/fuzz/*_fuzz.cc; do
  if [ "$running" -ge "$(cores)" ]; then
    wait -n || failed=1
    running=$((running - 1))
  fi
  run_target "$(basename "$source" _fuzz.cc)" &
  running=$((running + 1))
done
for _ in $(seq "$running"); do wait -n || failed=1; done
[ "$failed" -eq 0 ] || die "a fuzz target failed (see above)"
