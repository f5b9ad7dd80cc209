# shellcheck shell=bash
# Shared by run_mpirun.sh and run_slurm.sh (sourced, not run): starts a job, and starts it again from its newest
# checkpoint when ranks died. How it ended is what RUN/result.json says, since launchers fold exit codes into
# their own, and some end with 0 though a rank was killed.

fail() {
  printf '%s: %s\n' "$(basename "$0")" "$1" >&2
  exit "${2:-2}"
}
say_supervisor() { printf '%s: %s\n' "$(basename "$0")" "$*" >&2; }

# The folder behind --out among the words of the ranks' command.
out_of() {
  local word previous=""
  for word in "$@"; do
    case "$word" in --out=*) printf '%s' "${word#--out=}" && return ;; esac
    [ "$previous" != --out ] || { printf '%s' "$word" && return; }
    previous=$word
  done
}

# A number in result.json; "" where there is none.
result_field() { sed -n "s/^.*\"$1\": *\"\{0,1\}\([^\",}]*\).*$/\1/p" "$run/result.json" 2>/dev/null | head -n 1; }
# Which result.json is there: another one after a start that came as far as to have one.
result_mark() { stat -c '%i %y' "$run/result.json" 2>/dev/null || echo none; }

# The exit code of the run, given the launcher's and the mark of before.
code_of_run() {
  local launcher=$1 before=$2
  if [ "$(result_mark)" != "$before" ] && [ -e "$run/result.json" ]; then
    result_field exit_code
  elif [ "$launcher" = 0 ]; then
    echo 4 # nobody was left to write a result
  else
    echo "$launcher"
  fi
}

# supervise MOST_RESTARTS FIRST_WAIT COMMAND...: until the run is done, or does not get on by being started again.
supervise() {
  local most=$1 wait=$2 first_wait=$2 in_a_row=0 code before began signal=""
  shift 2
  run=$(out_of "$@")
  [ -n "$run" ] || fail "the ranks' command has no --out, the folder that they write to"
  mkdir -p "$run" || fail "cannot make $run"
  exec 9>>"$run/.supervisor"
  flock -n 9 || fail "$run has a supervisor already; stop that one, or give another --out"
  local child=""
  # shellcheck disable=SC2064  # the name is meant to be put in now
  for name in TERM INT USR1; do trap "signal=$name; [ -z \"\$child\" ] || kill -$name \"\$child\" 2>/dev/null" "$name"; done
  while true; do
    before=$(result_mark)
    began=$SECONDS
    "$@" 9>&- &
    child=$!
    # A signal ends `wait`, not the job.
    while true; do
      code=0
      wait "$child" || code=$?
      kill -0 "$child" 2>/dev/null || break
    done
    child=""
    code=$(code_of_run "$code" "$before")
    [ "$code" != 0 ] || exit 0
    if [ -n "$signal" ]; then
      say_supervisor "ended by SIG$signal with exit code $code"
      exit "$code"
    fi
    case "$code" in
      1 | 2 | 3 | 5 | 6 | 126 | 127 | 130 | 143) exit "$code" ;; # another start would end the same way, or was not wanted
    esac
    if [ $((SECONDS - began)) -ge 20 ]; then
      in_a_row=0 wait=$first_wait
    fi
    if [ "$in_a_row" -ge "$most" ]; then
      say_supervisor "the job ended with exit code $code after $most restarts in a row; giving up"
      exit 4
    fi
    in_a_row=$((in_a_row + 1))
    say_supervisor "the job ended with exit code $code; starting it again from its newest checkpoint in $wait s ($in_a_row of $most)"
    sleep "$wait" 9>&- &
    child=$!
    wait "$child" || true
    child=""
    [ -z "$signal" ] || exit 4
    wait=$(awk -v w="$wait" 'BEGIN {w *= 2; print w > 60 ? 60 : w}')
  done
}

# supervise_main LAUNCHER WORDS...: our own flags come first, the launcher's words after them.
supervise_main() {
  local launcher=$1 most=10 first_wait=1
  shift
  while [ $# -gt 0 ]; do
    case "$1" in
      --max-restarts)
        [ $# -ge 2 ] && [[ $2 =~ ^[0-9]+$ ]] || fail "--max-restarts needs a number"
        most=$2 && shift 2
        ;;
      --first-wait)
        [ $# -ge 2 ] && [[ $2 =~ ^[0-9.]+$ ]] || fail "--first-wait needs a number of seconds"
        first_wait=$2 && shift 2
        ;;
      -h | --help)
        sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//;p}' "$0"
        exit 0
        ;;
      *) break ;;
    esac
  done
  [ $# -gt 0 ] || fail "say what to run: $(basename "$0") -n 4 lockstep train run.textproto --out RUN"
  command -v "$launcher" >/dev/null || fail "there is no $launcher here"
  supervise "$most" "$first_wait" "$launcher" "$@"
}
