#!/usr/bin/env bash
# Installs what is missing, builds, runs the tests, and ends with ctest's summary.
#
#   scripts/test.sh                 the tests (what .ci/run calls)
#   scripts/test.sh --all           the tests, then every other part below
#   scripts/test.sh --part NAME     one part alone; may be given several times
#   scripts/test.sh --list          the parts
#   scripts/test.sh ... -- ARGS     hands ARGS to ctest: scripts/test.sh -- -R checkpoint
source "$(dirname "$0")/lib/setup.sh"

parts=(tests format asan tsan fuzz faults chaos readers)
describe() {
  case "$1" in
    tests) echo "build with warnings as errors (build/dev) and run all but the long tests" ;;
    format) echo "clang-format would change nothing" ;;
    asan) echo "the tests under AddressSanitizer and UndefinedBehaviorSanitizer (build/asan)" ;;
    tsan) echo "the tests under ThreadSanitizer (build/tsan)" ;;
    fuzz) echo "every fuzz target for LOCKSTEP_FUZZ_SECONDS each (default 60): libFuzzer, sanitizers" ;;
    faults) echo "long tests: schedules of kills, conformance at every world size" ;;
    chaos) echo "400 runs under random faults, each to the calm run's bits (scripts/chaos.sh)" ;;
    readers) echo "files of ours read by stock TensorFlow, TensorBoard and safetensors (from PyPI)" ;;
  esac
}

chosen=()
ctest_args=()
while [ $# -gt 0 ]; do
  case "$1" in
    --all) chosen=("${parts[@]}") ;;
    --part)
      [ $# -ge 2 ] || die "--part needs a name: ${parts[*]}"
      [[ " ${parts[*]} " == *" $2 "* ]] || die "no part is called '$2'; there are: ${parts[*]}"
      chosen+=("$2")
      shift
      ;;
    --list)
      for part in "${parts[@]}"; do printf '%-9s %s\n' "$part" "$(describe "$part")"; done
      exit 0
      ;;
    --)
      shift
      ctest_args=("$@")
      break
      ;;
    -h | --help)
      sed -n '2,/^source/{/^source/d;s/^# \{0,1\}//;p}' "$0"
      exit 0
      ;;
    *) die "unknown argument '$1'; see scripts/test.sh --help" ;;
  esac
  shift
done
[ ${#chosen[@]} -gt 0 ] || chosen=(tests)

# Runs ctest in build/$1 with the other arguments, as many tests at a time as there are cores.
run_ctest() {
  local preset=$1
  shift
  ctest --test-dir "build/$preset" --output-on-failure --no-tests=error -j "$(cores)" "$@" "${ctest_args[@]}"
}

part_tests() {
  build_preset dev -DLOCKSTEP_BENCHMARKS=OFF
  run_ctest dev -LE '^(long|chaos)$'
}
part_format() { scripts/format.sh --check; }
part_asan() {
  build_preset asan -DLOCKSTEP_BENCHMARKS=OFF
  run_ctest asan -LE '^(long|chaos|install)$'
}
part_tsan() {
  build_preset tsan -DLOCKSTEP_BENCHMARKS=OFF
  # ThreadSanitizer of GCC 12 needs its shadow memory free, which address randomisation may take.
  local fixed=()
  ! setarch -R true 2>/dev/null || fixed=(setarch -R)
  "${fixed[@]}" ctest --test-dir build/tsan --output-on-failure --no-tests=error -j "$(cores)" \
    -LE '^(long|chaos|install)$' "${ctest_args[@]}"
}
part_fuzz() {
  local preset=fuzz
  if ! command -v clang++ >/dev/null; then
    note "no clang here, so without libFuzzer: our own mutations, which do not look at what they reach."
    note "For libFuzzer: apt-get install clang libclang-rt-dev"
    preset=asan
  fi
  build_preset "$preset" -DLOCKSTEP_BENCHMARKS=OFF
  scripts/lib/fuzz.sh "build/$preset" "${LOCKSTEP_FUZZ_SECONDS:-60}"
}
part_faults() {
  build_preset dev -DLOCKSTEP_BENCHMARKS=OFF
  run_ctest dev -L '^long$'
}
part_chaos() {
  build_preset dev -DLOCKSTEP_BENCHMARKS=OFF
  run_ctest dev -L '^chaos$'
}
part_readers() {
  install_packages python3-venv
  build_preset release -DLOCKSTEP_TESTS=OFF -DLOCKSTEP_BENCHMARKS=OFF
  local python
  python=$(make_venv readers tensorflow-cpu tensorboard safetensors numpy)
  "$python" scripts/check_readers.py build/release/bin/lockstep build/readers
}

install_packages nginx-light # the server that tests read records from; they skip where it is missing
failed=()
for part in "${chosen[@]}"; do
  [ ${#chosen[@]} -eq 1 ] || say "$part: $(describe "$part")"
  # A subshell with errexit of its own: `if part_x` would switch errexit off inside.
  set +e
  (set -e; "part_$part")
  [ $? -eq 0 ] || failed+=("$part")
  set -e
done
if [ ${#failed[@]} -gt 0 ]; then
  die "failed: ${failed[*]}"
fi
[ ${#chosen[@]} -eq 1 ] || say "passed: ${chosen[*]}"
