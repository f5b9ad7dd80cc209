#!/usr/bin/env bash
# Runs a training job under mpirun, and starts it again from its newest checkpoint when ranks died (exit code 4).
# For what goes on in place no restart is needed: `mpirun --enable-recovery`, `lockstep launch --elastic`
# (docs/reliability.md). This is for the rest: the backend mpi, a machine that goes, all ranks at once.
#
#   scripts/run_mpirun.sh [--max-restarts N] [--first-wait SECONDS] MPIRUN'S WORDS... lockstep train CONFIG --out RUN
#   scripts/run_mpirun.sh -np 8 --host alpha:4,beta:4 lockstep train run.textproto --out /shared/RUN
#
# At most N (10) restarts in a row, after 1 s and then twice as long each time, up to 60 s; a job that lived for 20 s
# begins anew. SIGTERM, SIGINT and SIGUSR1 are passed on, and nothing is started after them; mpirun kills its ranks 1 s
# after SIGTERM, so use SIGUSR1 (checkpoint, then leave). One supervisor a run. The exit code is the run's, as
# RUN/result.json has it; 4 when restarts did not help.
set -euo pipefail
source "$(dirname "$0")/lib/supervise.sh"
supervise_main mpirun "$@"
