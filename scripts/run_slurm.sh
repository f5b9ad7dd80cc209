#!/usr/bin/env bash
# Runs a training job as steps of a Slurm allocation, and starts it again from its newest checkpoint when ranks died
# (exit code 4). To be called from a batch script:
#
#   #SBATCH --nodes=4 --ntasks-per-node=8 --signal=B:USR1@120 --requeue
#   scripts/run_slurm.sh [--max-restarts N] [--first-wait SECONDS] SRUN'S WORDS... lockstep train CONFIG --out /shared/RUN
#
# Slurm sends SIGUSR1 to the batch script two minutes before the time is over (`exec` this script, so that it gets the
# signal): the ranks write a checkpoint and leave, and the next job with the same command goes on. To go on with a node
# less, ask for the allocation with --no-kill.
#
# At most N (10) restarts in a row, after 1 s and then twice as long each time, up to 60 s; a job that lived for 20 s
# begins anew. One supervisor a run. The exit code is the run's, as RUN/result.json has it; 4 when restarts did not help.
set -euo pipefail
source "$(dirname "$0")/lib/supervise.sh"
supervise_main srun "$@"
