#!/usr/bin/env bash
# How fast a run goes on when ranks die or hang, and what it loses: medians over repetitions, against the goals
# of docs/reliability.md. Kills and stops come from outside, at a random moment of a step.
#   scripts/bench/recovery.sh                 RANKS (default 4), REPEATS (default 7; of hangs 3), CONFIG (default
#                                             examples/digits_mlp.textproto), EPOCHS (default 150), PRESET (release)
# What the machinery costs while nothing fails: scripts/bench/machinery.sh.
source "$(dirname "$0")/../lib/setup.sh"
source scripts/lib/measure.sh

ranks=${RANKS:-4} repeats=${REPEATS:-7} epochs=${EPOCHS:-150}
config=${CONFIG:-examples/digits_mlp.textproto} preset=${PRESET:-release}
[ -n "${NO_BUILD:-}" ] || build_preset "$preset" -DLOCKSTEP_TESTS=OFF -DLOCKSTEP_BENCHMARKS=OFF >/dev/null
program=${PROGRAM:-build/$preset/bin/lockstep} # of a build of your own, say
run=$scratch/run

now() { date +%s.%N; }
since() { awk -v a="$1" -v b="$2" 'BEGIN {printf "%.3f\n", b - a}'; }

train() { # FOLDER, then the launcher's words
  local folder=$1
  shift
  "$program" "$@" train "$config" --out "$folder" --ledger --set "epochs=$epochs" \
    --set execution.checkpoint.every_minutes=0 --set execution.stop_on_poison=false >"$scratch/log" 2>&1 </dev/null
}

# The processes of the run's ranks, by their numbers at the start.
rank_pids() {
  local pid
  for pid in $(pgrep -f -- "train $config --out $run " | sort -n); do
    if [ "$(tr '\0' ' ' <"/proc/$pid/cmdline" 2>/dev/null | awk '{print $2}')" = train ]; then echo "$pid"; fi
  done
}
wait_for() { # SECONDS COMMAND...
  local end=$((SECONDS + $1))
  shift
  until "$@" 2>/dev/null; do
    [ "$SECONDS" -lt "$end" ] || die "waited too long for: $* ($(tail -n 3 "$scratch/log"))"
    sleep 0.002
  done
}
reached() { [ "$(wc -l <"$run/metrics.jsonl")" -ge "$1" ]; }
in_generation() { tail -n 4 "$run/metrics.jsonl" | grep -q "\"generation\": $1[,}]"; }

# One run whose ranks $2... get signal $1; writes what came of it to $scratch/$case.*
one() {
  local case=$1 signal=$2 pids=() victims=() at t0 noticed
  shift 2
  rm -rf "$run"
  train "$run" launch -n "$ranks" --elastic --max-restarts 0 -- &
  local launcher=$!
  wait_for 30 reached $((steps / 20 + RANDOM % (steps / 5)))
  mapfile -t pids < <(rank_pids)
  [ "${#pids[@]}" = "$ranks" ] || die "found ${#pids[@]} ranks of $ranks"
  for at in "$@"; do victims+=("${pids[$at]}"); done
  t0=$(now)
  kill "-$signal" "${victims[@]}"
  # The call for the next generation is a folder; its birth is the moment at which somebody noticed.
  wait_for 60 compgen -G "$run/membership/*/gen-2" >/dev/null
  noticed=$(now)
  since "$t0" "$noticed" >>"$scratch/$case.noticed"
  wait_for 60 in_generation 2
  since "$t0" "$(now)" >>"$scratch/$case.on"
  wait "$launcher" || die "the run ended with exit code $?: $(tail -n 5 "$scratch/log")"
  # Lines of metrics are steps told; the ledger says which samples each consumed.
  grep -c '"loss".*"lr"' "$run/metrics.jsonl" | awk -v s="$steps" '{print $1 - s}' >>"$scratch/$case.redone"
  diff <(tr -cd '0-9,\n' <"$scratch/calm/ledger.jsonl") <(tr -cd '0-9,\n' <"$run/ledger.jsonl") | grep -c '^[<>]' \
    >>"$scratch/$case.samples" || true
  [ "$(json_field "$run/result.json" weights_sha256)" = "$(json_field "$scratch/calm/result.json" weights_sha256)" ] ||
    die "$case: other weights than the calm run's"
}

train "$scratch/calm" launch -n 1 -- || die "the calm run failed: $(cat "$scratch/log")"
steps=$(grep -c '"loss".*"lr"' "$scratch/calm/metrics.jsonl")
last=$((ranks - 1))
for ((i = 0; i < repeats; ++i)); do
  one "a rank dies" KILL $((1 + i % last))
  one "rank 0 dies" KILL 0
  one "two die at once" KILL 0 "$last"
done
for ((i = 0; i < (repeats + 1) / 2 && i < 3; ++i)); do
  one "a rank hangs" STOP $((1 + i % last))
done

machine
echo "$ranks ranks on this machine, $config, $steps steps; medians (worst) of $repeats runs, hangs of 3; in every run the"
echo "weights are those of the calm run"
echo
echo "| what | noticed after, s | goal | going on after, s | goal | steps redone | lines of ledger that differ | |"
echo "|---|---|---|---|---|---|---|---|"
deadline=$(sed -n 's/.*double deadline_seconds.*default = \([0-9.]*\).*/\1/p' proto/run_config.proto)
for case in "a rank dies" "rank 0 dies" "two die at once" "a rank hangs"; do
  f=$scratch/$case
  noticed_goal=1 on_goal=2
  [ "$case" != "a rank hangs" ] || { noticed_goal=$((deadline + 1)) on_goal=$((deadline + 2)); }
  awk -v what="$case" -v n="$(median <"$f.noticed")" -v nw="$(sort -g "$f.noticed" | tail -n 1)" -v ng="$noticed_goal" \
    -v o="$(median <"$f.on")" -v ow="$(sort -g "$f.on" | tail -n 1)" -v og="$on_goal" \
    -v r="$(sort -g "$f.redone" | tail -n 1)" -v s="$(sort -g "$f.samples" | tail -n 1)" 'BEGIN {
      met = nw < ng && ow < og && r == 0 && s == 0
      printf "| %s | %.3f (%.3f) | %d | %.3f (%.3f) | %d | %d | %d | %s |\n", what, n, nw, ng, o, ow, og, r, s,
        met ? "met" : "MISSED"}'
done
