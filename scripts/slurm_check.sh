#!/usr/bin/env bash
# Tests several ranks under a real Slurm of two nodes, which this script starts for itself from Debian's slurm-wlm: srun with PMIx and
# without, the job script of deploy/slurm, its signals, requeues and losses; and the prolog of deploy/slurm. Each training ends with the digest that one process has.
# Everything is in a temporary folder and is removed with it.
#   scripts/slurm_check.sh [--trainer FILE] [--prolog] [--keep]
# --trainer: the program [build/cpu/trainer/trainer], with the plugin for Open MPI beside it. --keep: leave the folder. --prolog: this part alone.
# Needs root, slurm-wlm, munge and openmpi-bin; without them it says what is missing and skips.
set -uo pipefail

root=$(dirname -- "$(dirname -- "$(readlink -f -- "${BASH_SOURCE[0]}")")")
trainer=$root/build/cpu/trainer/trainer
keep=0
work=
failures=0
parts=(prove_prolog prove_worlds prove_requeues prove_time_limit prove_losses)
cpus=4 # of a node, whatever the machine has: waiting ranks yield theirs

say() { printf '%s\n' "$*"; }

# shellcheck source=scripts/slurm/cluster.sh
. "$root/scripts/slurm/cluster.sh"
# shellcheck source=scripts/results.sh
. "$root/scripts/results.sh"
# shellcheck source=scripts/idx_files.sh
. "$root/scripts/idx_files.sh"

while (($# > 0)); do
  case $1 in
    --trainer) trainer=$(readlink -f -- "${2:?--trainer needs a file}") && shift 2 ;;
    --keep) keep=1 && shift ;;
    --prolog) parts=(prove_prolog) && shift ;;
    *) say "usage: slurm_check.sh [--trainer FILE] [--prolog] [--keep]" >&2 && exit 2 ;;
  esac
done

skip() { say "SKIPPED: $*" && exit 0; }

clean_up() {
  stop_slurm
  ((keep)) && say "kept: $work" && return
  rm -rf -- "$work"
}

# ends_with STATUS TEXT COMMAND...: the command ends with this status and prints the text.
ends_with() {
  local wanted=$1 text=$2 status=0
  shift 2
  "$@" >"$work/out" 2>&1 || status=$?
  cat "$work/out"
  ((status == wanted)) && grep -qE -- "$text" "$work/out"
}

exits_with() {
  local status=0
  "${@:2}" || status=$?
  ((status == $1)) || { say "status $status" && return 1; }
}

state_of() { squeue --noheader --jobs="$1" --states=all --format %T; }
is_over() { [[ $(state_of "$1") =~ ^(COMPLETED|FAILED|CANCELLED|TIMEOUT)$ ]]; }
epochs_of() { wc -l <"$1/metrics.jsonl"; }
has_epochs() { (($(epochs_of "$1" 2>/dev/null || echo 0) >= $2)); }
digest_of() { sed -n 's/.*"digest": *"\([0-9a-f]\{64\}\)".*/\1/p' "$1/run.json" | tail -n 1; }

# finished JOB FOLDER: the job has completed, and the run in the folder is the one that was never interrupted.
finished() {
  wait_for 300 is_over "$1"
  [[ $(state_of "$1") == COMPLETED ]] || { say "job $1: $(state_of "$1")" && tail -n 5 "$work/job-$1.log" && return 1; }
  say "digest $(digest_of "$2"), wanted $(digest_of "$work/whole"); $(epochs_of "$2") epochs"
  [[ $(digest_of "$2") == "$(digest_of "$work/whole")" ]]
}

small=(--model cntk-sample --bits portable --seed 3)
long=("${small[@]}" --epochs 30)

# submitted NAME EPOCHS [SBATCH OPTION...]: submits the job script with a training, and waits until it is under way; its number is $job.
submitted() {
  export TRAINER_OUT=$work/$1
  job=$(sbatch --parsable --nodes=2 --ntasks-per-node=2 --output="$work/job-%j.log" "${@:3}" "$root/deploy/slurm/cpu.sbatch" --data "$work/data" "${long[@]}" --epochs "$2") &&
    wait_for 200 has_epochs "$TRAINER_OUT" 3
}

prove_worlds() {
  local words=("$trainer" train --device cpu --threads 1 --data "$work/data" "${small[@]}" --epochs 2) digest
  result "one process" "${words[@]}" --out "$work/alone"
  digest=$(digest_of "$work/alone")
  result "srun --mpi=pmix: a world of 4" ends_with 0 '^ranks +4 on 1 machine' srun --mpi=pmix -n 4 "${words[@]}" --out "$work/four"
  result "with the digest of one process" test "$digest" = "$(digest_of "$work/four")"
  result "srun of two nodes" ends_with 0 '^ranks +4 on 2 machines' srun --mpi=pmix --nodes=2 -n 4 "${words[@]}" --out "$work/nodes"
  result "with the digest of one process" test "$digest" = "$(digest_of "$work/nodes")"
  result "srun --mpi=none is refused" ends_with 21 'started 2 ranks, but MPI knows of 1' \
    srun --mpi=none -n 2 "${words[@]}" --out "$work/none"
  result "and nothing was trained" test ! -e "$work/none"
  result "srun of one task" ends_with 0 '^accuracy' srun --mpi=none -n 1 "${words[@]}" --out "$work/one"
  result "mpirun in a job of two nodes" ends_with 0 '^ranks +4 on 2 machines' \
    salloc --quiet --nodes=2 --ntasks=4 mpirun.openmpi --allow-run-as-root "${words[@]}" --out "$work/mpirun"
  result "with the digest of one process" test "$digest" = "$(digest_of "$work/mpirun")"
  result "train --ranks in a job" ends_with 0 '^ranks +2 on 1 machine' \
    salloc --quiet --ntasks=2 "${words[@]}" --ranks 2 --out "$work/started"
}

# A job that is asked to stop saves, and goes on with what it saved.
prove_requeues() {
  local job
  result "one process, without an interruption" "$trainer" train --device cpu --threads 1 --data "$work/data" "${long[@]}" --out "$work/whole"
  result "a job is under way" submitted requeued 30
  result "scontrol requeue" scontrol requeue "$job"
  result "goes on by itself" finished "$job" "$work/requeued"
  result "a second job is under way" submitted asked 30
  result "SIGUSR1, which --signal sends before the time limit" scancel --signal=USR1 "$job"
  result "saves, and the job goes on by itself" finished "$job" "$work/asked"
  result "a third job is under way" submitted cancelled 30
  result "scancel" scancel "$job"
  result "ends it" wait_for 60 is_over "$job"
  result "it was saved" grep -q '"status": "stopped"' "$work/cancelled/run.json"
  result "and is not requeued" test "$(state_of "$job")" = CANCELLED
  result "it goes on with another number of ranks" srun --mpi=pmix -n 2 "$trainer" train --device cpu --threads 1 --resume "$work/cancelled"
  result "and ends with the same digest" test "$(digest_of "$work/whole")" = "$(digest_of "$work/cancelled")"
}

# Slurm looks every half minute whether a job's limit is near, and a limit is at least a minute.
prove_time_limit() {
  local job
  result "a job with a time limit is under way" submitted limited 10000 --time=1 --signal=USR1@50
  result "it saves before its limit" wait_for 90 grep -q '^stopped .*by signal' "$work/job-$job.log"
  result "and goes on by itself" wait_for 60 grep -q '^resumed ' "$work/job-$job.log"
  scancel "$job"
}

# last_rank FOLDER: prints the process number of the rank 3 that trains into it.
last_rank() {
  local id
  for id in $(pgrep -f -- "^$trainer train .*--out $1 "); do grep -qzx PMIX_RANK=3 "/proc/$id/environ" && echo "$id"; done
}

prove_losses() {
  local job step
  TRAINER_OUT=$work/frozen
  srun --mpi=pmix --nodes=2 -n 4 "$trainer" train --device cpu --threads 1 --data "$work/data" "${long[@]}" --out "$TRAINER_OUT" --rank-timeout 3 \
    >"$work/frozen.log" 2>&1 &
  step=$!
  result "a step is under way" wait_for 200 has_epochs "$TRAINER_OUT" 3
  result "a rank freezes" kill -STOP "$(last_rank "$work/frozen")"
  result "all end with status 20" exits_with 20 wait "$step"
  result "and the log names it" grep -qE 'error: rank 3 [(]host node2, .* not reached step .* within 3 s' "$work/frozen.log"
  result "a fourth job is under way" submitted lost 30
  result "a rank is killed" kill -KILL "$(last_rank "$work/lost")"
  result "and the job goes on by itself" finished "$job" "$work/lost"
  result "its log names the rank" grep -q 'error: rank 3 (host .*) has ended' "$work/job-$job.log"
}

# write_prolog: the prolog of deploy/slurm, once there is a health.yaml, with a logger that writes to a file.
write_prolog() {
  mkdir "$work/bin"
  # shellcheck disable=SC2016
  printf '#!/bin/sh\nshift 4; echo "$SLURMD_NODENAME: $*" >>%q\n' "$work/prolog.log" >"$work/bin/logger"
  cat >"$work/prolog" <<PROLOG
#!/bin/bash
[[ -e $work/health.yaml ]] || exit 0
cd /tmp && PATH=$work/bin:/usr/bin:/bin TRAINER=$trainer TRAINER_HEALTH=$work/health.yaml TRAINER_TEXTFILE=/tmp exec "$root/deploy/slurm/prolog.sh"
PROLOG
  chmod 755 "$work/bin/logger" "$work/prolog"
}

# health SEVERITY: from now on each node lacks 1000 GPUs, and that means SEVERITY.
health() { printf 'gpus: 1000\nGPU count: %s\n' "$1" >"$work/health.yaml"; }

node_is() { [[ $(sinfo --noheader --nodes=node1 --format %T) =~ ^($1)$ ]]; }

prove_prolog() {
  local job
  health ignore
  result "a job on a node that is well" srun --nodelist=node1 true
  result "and nothing was logged" test ! -e "$work/prolog.log"
  health warn
  result "a job on a node with a warning" srun --nodelist=node1 true
  result "which was logged" grep -qE '^node1: .*status 1: mnist-trainer: warn: GPU count: [0-9]+ of 1000$' "$work/prolog.log"
  health fatal
  result "a job on a node whose check fails" srun --nodelist=node1 true
  result "which was logged" grep -q "^node1: .*status 3: mnist-trainer: unknown: .*unknown severity 'fatal'" "$work/prolog.log"
  result "neither drained it" node_is 'idle|completing'
  health critical
  job=$(sbatch --parsable --nodelist=node1 --output=/dev/null --wrap 'exit 0')
  result "a critical finding drains it" wait_for 60 node_is drained
  result "with the finding as the reason" grep -qE 'mnist-trainer: critical: GPU count: [0-9]+ of 1000' <(sinfo --noheader --list-reasons --format %E)
  result "and the job waits" test "$(state_of "$job")" = PENDING
  rm "$work/health.yaml"
  result "the node comes back" scontrol update nodename=node1 state=resume
  result "and is idle" wait_for 60 node_is idle
  scontrol release "$job"
  result "the job goes on" wait_for 60 is_over "$job"
  result "and completes" test "$(state_of "$job")" = COMPLETED
}

main() {
  local why part
  why=$(why_no_slurm)
  [[ -z $why ]] || skip "$why"
  [[ -x $trainer && -e $(dirname -- "$trainer")/libmnist-trainer-openmpi.so ]] || skip "$trainer or its plugin for Open MPI is not built"
  mkdir -p "$root/build"
  work=$(mktemp -d "$root/build/slurm-check-XXXXXX")
  chmod 755 "$work"
  trap clean_up EXIT
  export TRAINER=$trainer OMPI_MCA_mpi_yield_when_idle=1
  unset TRAINER_RUNS TRAINER_DATA
  cd "$work" || exit 1
  write_idx_files "$work/data" 2048 500
  write_prolog
  start_slurm || skip "Slurm does not start here (above)"
  say "a Slurm of its own: $(sinfo --version), 2 nodes, $cpus CPUs each"
  for part in "${parts[@]}"; do "$part"; done
  say "slurm: $failures of the checks failed"
  ((failures == 0))
}

main
