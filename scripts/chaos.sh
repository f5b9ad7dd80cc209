#!/usr/bin/env bash
# Trains under random faults, one schedule after another: ranks are killed, stopped and woken, meet made-up
# errors, whole jobs are killed and go on with other worlds, members come and go. Every one must end in the
# weights, losses and ledger of the calm run. What the faults are: docs/reliability.md.
#
#   scripts/chaos.sh --seed 7 --minutes 30       as many schedules as fit
#   scripts/chaos.sh --seed 7 --schedules 400    so many
#   scripts/chaos.sh --seed 7 --first 12 --schedules 1 --print --keep     number 12 of them again, alone
#   LOCKSTEP_PRESET=asan scripts/chaos.sh ...    under a sanitizer; give it a longer --timeout, too
#
# Without --seed one is drawn and printed. --jobs J: so many at a time (3). --timeout S: a schedule that takes
# longer has failed (60).
source "$(dirname "$0")/lib/setup.sh"

case " $* " in
  *" --help "* | *" -h "*)
    sed -n '2,/^source/{/^source/d;s/^# \{0,1\}//;p}' "$0"
    exit 0
    ;;
esac
preset=${LOCKSTEP_PRESET:-dev}
if [ -z "${LOCKSTEP_NO_BUILD:-}" ]; then
  install_packages
  build_preset "$preset" -DLOCKSTEP_BENCHMARKS=OFF >/dev/null
fi
exec "build/$preset/tests/bin/chaos" "$@"
