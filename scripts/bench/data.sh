#!/usr/bin/env bash
# The data plane against its targets, everything from a warm page cache: verified scans beside a bare read(), parsing and
# shuffling beside TensorFlow, the order, the index of a large file, pictures beside a plain libjpeg-turbo loop, and what a
# training waits for pictures.
#   [TF_PYTHON=/path/to/python] scripts/bench/data.sh [TF_SCRIPT]
# TF_SCRIPT FOLDER reads small.tfrecord, cifar.tfrecord and big.tfrecord there with TensorFlow and prints lines "small read+parse:
# 0.27 GB/s  900000 records/s"; without it those targets are not judged. DATA: a folder for the files (default: a temporary
# one). BIN: a folder of other programs than those of build/release, which is then not built. INDEX_GB: size of the file that is indexed (default 10; 0: none). REPEAT passes (default 5), of which the best counts.
source "$(dirname "$0")/../lib/setup.sh"
source scripts/lib/measure.sh

tf_script=${1:-}
if [ -n "$tf_script" ]; then
  [ -f "$tf_script" ] || die "no such file: $tf_script"
  [ -x "${TF_PYTHON:-}" ] || die "TF_PYTHON must name a Python that has tensorflow"
fi
[ -n "${BIN:-}" ] || build_preset release -DLOCKSTEP_TESTS=OFF >/dev/null
bin=${BIN:-build/release/bin}
data=${DATA:-$scratch}
repeat=${REPEAT:-5}
missed=0

# judge WHAT REACHED UNIT least|most TARGET
judge() {
  local verdict
  [ -n "$2" ] || die "no figure for: $1"
  verdict=$(awk -v r="$2" -v t="$5" -v how="$4" 'BEGIN {print ((how == "least" ? r >= t : r <= t) ? "met" : "MISSED")}')
  [ "$verdict" = met ] || missed=$((missed + 1))
  printf '| %s | %s %s | at %s %s %s | %s |\n' "$1" "$2" "$3" "$4" "$5" "$3" "$verdict"
}
ratio() { awk -v a="$1" -v b="$2" 'BEGIN {printf "%.2f", a / b}'; }

# ---- Files
declare -A payload=([small]=300 [cifar]=3072 [big]=150000) count=([small]=600000 [cifar]=120000 [big]=3000)
for name in small cifar big; do
  [ -f "$data/$name.tfrecord" ] || "$bin/write_records" "$data/$name.tfrecord" "${payload[$name]}" "${count[$name]}"
  cat "$data/$name.tfrecord" >/dev/null
done
machine
echo "best of $repeat passes; page cache warm"
echo
echo "| what | reached | target | |"
echo "|---|---|---|---|"

# ---- Scans, on one core
for name in small cifar big; do
  taskset -c 0 "$bin/lockstep" records bench --baseline --repeat "$repeat" "$data/$name.tfrecord" >"$scratch/scan"
  share=$(sed -n 's/.*this is \([0-9]*\) %.*/\1/p' "$scratch/scan")
  speed=$(awk '/GB\/s/ && !/#/ {print $1}' "$scratch/scan")
  records=$(awk '/records\/s/ && !/#/ {printf "%.2f", $3 / 1e6}' "$scratch/scan")
  bare=$(sed -n 's/.*bare read(): \([0-9.]*\) .*/\1/p' "$scratch/scan")
  if [ "$name" = small ]; then
    judge "verified scan, ${payload[$name]} B, one core ($speed GB/s; bare read() $bare)" "$records" "million records/s" least 8
  else
    judge "verified scan, ${payload[$name]} B, one core ($speed GB/s; bare read() $bare)" "$share" "% of read()" least 80
  fi
done

# ---- Parsing and shuffling, on two cores, beside TensorFlow
records_a_second() { # RECORDS_BENCH_ARGUMENTS...
  "$bin/lockstep" records bench --threads 2 --repeat "$repeat" "$@" | awk '/records\/s/ && !/#/ {print $3}'
}
if [ -n "$tf_script" ]; then "$TF_PYTHON" "$tf_script" "$data" >"$scratch/tf" 2>"$scratch/tf.log" || {
  cat "$scratch/tf.log" >&2
  die "$tf_script failed"
}; fi
tf_records() { sed -n "s|^$1 $2: .* \([0-9.]*\) records/s|\1|p" "$scratch/tf"; }
declare -A parse_target=([small]=6 [cifar]=4 [big]=4)
for name in small cifar big; do
  parse=$(records_a_second --parse "$data/$name.tfrecord")
  shuffle=$(records_a_second --shuffle "$data/$name.tfrecord")
  if [ -z "$tf_script" ]; then
    printf '| scan + parse, %s B, two cores | %s records/s | | no TensorFlow |\n' "${payload[$name]}" "$parse"
    printf '| global shuffle + parse, %s B, two cores | %s records/s | | no TensorFlow |\n' "${payload[$name]}" "$shuffle"
    continue
  fi
  tf_parse=$(tf_records "$name" "read+parse") tf_shuffle=$(tf_records "$name" "shuffle+read+parse")
  judge "scan + parse, ${payload[$name]} B, two cores ($parse records/s; TensorFlow $tf_parse)" \
    "$(ratio "$parse" "$tf_parse")" "x TensorFlow" least "${parse_target[$name]}"
  judge "global shuffle + parse, ${payload[$name]} B, two cores ($shuffle records/s; TensorFlow, a buffer of 10,000: $tf_shuffle)" \
    "$(ratio "$shuffle" "$tf_shuffle")" "x TensorFlow" least 8
done

# ---- The order
taskset -c 0 "$bin/order_bench" --benchmark_filter='(Shuffle|Blocks)/.*/(32|512)$' --benchmark_format=csv 2>/dev/null \
  >"$scratch/order"
for case in Shuffle/1000000 Shuffle/1000000000 Shuffle/1000000000000 Blocks/1000000000000; do
  for positions in 32 512; do
    ns=$(awk -F, -v name="\"BM_$case/$positions\"" -v n="$positions" '$1 == name {printf "%.1f", $3 / n}' "$scratch/order")
    judge "order, ${case/\// of } records, $positions at a time: a position" "$ns" ns most 50
  done
done

# ---- The index of a large file
gigabytes=${INDEX_GB:-10}
free_gib() { df --output=avail -BG "$1" | tail -n 1 | tr -dc 0-9; }
available_gib() { awk '/MemAvailable/ {print int($2 / 1048576)}' /proc/meminfo; }
if [ "$gigabytes" -gt 0 ] && [ "$(free_gib "$data")" -gt $((gigabytes + 5)) ] && [ "$(available_gib)" -gt $((gigabytes + 3)) ]; then
  large=$data/large.tfrecord
  trap 'rm -rf "$scratch" "$data/large.tfrecord" "$data/large.tfrecord.lsidx"' EXIT
  : >"$large"
  while [ "$(stat -c %s "$large")" -lt $((gigabytes * 1000000000)) ]; do cat "$data/cifar.tfrecord" >>"$large"; done
  cat "$large" >/dev/null
  best=$(for ((i = 0; i < 3; ++i)); do
    rm -f "$large.lsidx"
    start=$(date +%s.%N)
    "$bin/lockstep" records index "$large" >/dev/null
    awk -v a="$start" -v b="$(date +%s.%N)" 'BEGIN {printf "%.2f\n", b - a}'
  done | sort -g | head -n 1)
  judge "index of $(awk -v s="$(stat -c %s "$large")" 'BEGIN {printf "%.1f", s / 1e9}') GB of 3 KiB records" "$best" s most \
    "$(awk -v g="$gigabytes" 'BEGIN {printf "%g", 2 * g / 10}')"
  rm -f "$large" "$large.lsidx"
else
  echo "| index of $gigabytes GB | | | not run: $(free_gib "$data") GiB of disk and $(available_gib) GiB of memory are free |"
fi

# ---- Pictures, on one core
taskset -c 0 "$bin/image_bench" --benchmark_filter='(PlainLoop|Train)/' --benchmark_repetitions=5 \
  --benchmark_report_aggregates_only=true --benchmark_format=csv 2>/dev/null >"$scratch/images"
for size in 500/375 1600/1200; do
  of() { awk -F, -v name="\"$1/$size""_median\"" '$1 == name {print $4}' "$scratch/images"; }
  judge "JPEG of ${size/\//x} to a sample of 224x224 ($(of Train) ms; a plain scaled loop of libjpeg-turbo $(of PlainLoop) ms)" \
    "$(ratio "$(of PlainLoop)" "$(of Train)")" "x its speed" least 1
done

# ---- ResNet-18 from JPEG records: two ranks, one core each
"$bin/image_bench" --write "$scratch/jpegs" 1280 64 64
"$bin/lockstep" records make --from images --input "$scratch/jpegs" --shuffle 1 --out "$scratch/jpegs" >/dev/null
cat >"$scratch/jpegs.textproto" <<END
model { name: "resnet18" resnet { classes: 10 } }
loss { cross_entropy {} }
data {
  train: "$scratch/jpegs-00000-of-00001.tfrecord"
  label { feature: "image/class/label" classes: 10 }
  image { shape: [32, 32, 3] train { random_resized_crop {} flip: true } mean: [0.5, 0.5, 0.5] std: [0.25, 0.25, 0.25] }
}
optimizer { adamw { lr: 1e-4 } }
lanes: 2
global_batch: 128
steps: 12
execution { threads: 1 checkpoint { every_minutes: 0 } events: false }
END
"${mpirun[@]}" -np 2 "$bin/lockstep" train "$scratch/jpegs.textproto" --out "$scratch/run" >"$scratch/log" 2>&1 </dev/null || {
  cat "$scratch/log" >&2
  die "training from JPEG records failed"
}
share=$(tail -n +3 "$scratch/run/metrics.jsonl" |
  sed -n 's/.*"step_seconds": *\([0-9.eE+-]*\).*"data_wait_seconds": *\([0-9.eE+-]*\).*/\1 \2/p' |
  awk '{s += $1; w += $2} END {printf "%.2f", 100 * w / s}')
judge "resnet18 from JPEG records, two ranks: data_wait_seconds" "$share" "% of the step" most 1

echo
[ "$missed" = 0 ] && echo "all targets that were judged are met" || echo "$missed targets are missed"
