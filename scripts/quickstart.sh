#!/usr/bin/env bash
# From nothing to a trained model: installs what is missing, builds, trains on the handwritten digits with two ranks,
# then kills a second run half-way, resumes it, and shows that not one bit of the weights differs.
# Run again, it goes straight to the training.
#   scripts/quickstart.sh [OUT]       OUT: where the runs are written (default: build/quickstart)
source "$(dirname "$0")/lib/setup.sh"

case "${1:-}" in
  -h | --help)
    sed -n '2,/^source/{/^source/d;s/^# \{0,1\}//;p}' "$0"
    exit 0
    ;;
esac
out=${1:-build/quickstart}
config=examples/digits_cnn.textproto
lockstep=build/release/bin/lockstep

install_packages
say "Building (Release, $(cores) cores)"
build_preset release -DLOCKSTEP_TESTS=OFF -DLOCKSTEP_BENCHMARKS=OFF

mkdir -p "$out"
calm=$out/digits
killed=$out/digits-killed
rm -rf "$calm" "$killed"

say "Training: mpirun -np 2 $lockstep train $config --out $calm"
"${mpirun[@]}" -np 2 "$lockstep" train "$config" --out "$calm"
note "accuracy on the 360 images held out: $(json_field "$calm/result.json" accuracy)"

again=("${mpirun[@]}" -np 2 "$lockstep" train "$config" --out "$killed" --set execution.checkpoint.every_steps=50)
say "The same training in another folder, and kill -9 of mpirun half-way"
done_early=true
for _ in 1 2 3 4 5; do # a fast machine may be done before the kill
  rm -rf "$killed"
  "${again[@]}" >"$out/killed.log" 2>&1 </dev/null &
  pid=$!
  while kill -0 "$pid" 2>/dev/null && ! compgen -G "$killed/checkpoints/step-00000[2-6]*" >/dev/null; do sleep 0.02; done
  kill -9 "$pid" 2>/dev/null || true
  { wait "$pid" || true; } 2>/dev/null
  # Ranks whose launcher is gone leave by themselves.
  sleep 1
  grep -q '"status": "done"' "$killed/result.json" 2>/dev/null || { done_early=false && break; }
done
if $done_early || ! compgen -G "$killed/checkpoints/step-*" >/dev/null; then
  cat "$out/killed.log" >&2
  die "the second training was not killed half-way (see above)"
fi
note "killed; checkpoints: $(cd "$killed/checkpoints" && echo step-*)"

say "The same command once more: it resumes"
"${again[@]}"

first=$(json_field "$calm/result.json" weights_sha256)
second=$(json_field "$killed/result.json" weights_sha256)
say "Weights"
note "undisturbed        $first"
note "killed and resumed $second"
[ -n "$first" ] && [ "$first" = "$second" ] || die "the weights differ, which they never may: please report this"
note "the same, to the last bit"

say "Where things lie"
note "$calm/result.json         how it ended"
note "$calm/metrics.jsonl       one line a step"
note "$calm/checkpoints/        safetensors files"
note "$calm/events/             for TensorBoard"
note "$calm/run.textproto       the configuration, every default filled in"
note "next: $lockstep --help"
