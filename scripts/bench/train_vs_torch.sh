#!/usr/bin/env bash
# Training speed beside PyTorch's DistributedDataParallel over Gloo: 2 ranks of one thread, fp32, the same models, batch
# and optimizer, on fixed random data. Rounds alternate between the two, so that a noisy machine hits both.
#   TORCH_PYTHON=/path/to/python scripts/bench/train_vs_torch.sh TORCH_SCRIPT [MODEL...]
# TORCH_SCRIPT MODEL fp32 is started by torchrun and prints "... 12.3 ms/step ...". MODELs: mlp gpt10m resnet18 gpt2.
# ROUNDS (default 3) says how often each is run; the table holds medians.
source "$(dirname "$0")/../lib/setup.sh"
source scripts/lib/measure.sh

[ $# -ge 1 ] || die "usage: TORCH_PYTHON=... scripts/bench/train_vs_torch.sh TORCH_SCRIPT [MODEL...]"
[ -x "${TORCH_PYTHON:-}" ] || die "TORCH_PYTHON must name a Python that has torch"
[ -f "$1" ] || die "no such file: $1"
script=$1
shift
models=("$@")
[ $# -gt 0 ] || models=(mlp gpt10m resnet18 gpt2)

build_preset release -DLOCKSTEP_TESTS=OFF -DLOCKSTEP_BENCHMARKS=OFF >/dev/null

torch_ms() {
  OMP_NUM_THREADS=1 GLOO_SOCKET_IFNAME=lo "$TORCH_PYTHON" -m torch.distributed.run --nproc-per-node 2 \
    --master-addr 127.0.0.1 --master-port "$((20000 + RANDOM % 20000))" "$script" "$1" fp32 2>"$scratch/torch.log" |
    sed -n 's|.* \([0-9.]*\) ms/step.*|\1|p' | grep . || {
    cat "$scratch/torch.log" >&2
    die "the torch script printed no 'ms/step' for $1"
  }
}

for ((round = 1; round <= ${ROUNDS:-3}; ++round)); do
  for model in "${models[@]}"; do
    note "round $round: $model" >&2
    torch_ms "$model" >>"$scratch/$model.torch"
    run_lockstep 2 "examples/bench/$model.textproto" "$scratch/run" --set execution.threads=1
    step_ms "$scratch/run" >>"$scratch/$model.lockstep"
  done
done

echo "$(machine); $("$TORCH_PYTHON" -c 'import torch; print("torch", torch.__version__)')"
echo "2 ranks x 1 thread, fp32; medians of ${ROUNDS:-3} rounds; speed = torch's time / ours"
echo
echo "| model | torch ms/step | lockstep ms/step | speed |"
echo "|---|---|---|---|"
for model in "${models[@]}"; do
  t=$(median <"$scratch/$model.torch")
  l=$(median <"$scratch/$model.lockstep")
  awk -v m="$model" -v t="$t" -v l="$l" 'BEGIN {printf "| %s | %.1f | %.1f | %.2fx |\n", m, t, l, t / l}'
done
