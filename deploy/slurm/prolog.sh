#!/usr/bin/env bash
# Slurm's prolog: looks at the node before a job starts on it. In slurm.conf, with a copy of this file on each node:
#   Prolog=/etc/slurm/prolog.sh                  PrologFlags=Alloc looks when a job is given the node, not at its first step
#   HealthCheckProgram=/etc/slurm/prolog.sh      HealthCheckInterval=300 looks again and again (it drains, whatever it ends with)
# Status 2 (critical) drains the node: Slurm sends the job elsewhere (it is held unless SchedulerParameters has nohold_on_prolog_fail).
# 1 (warn) and 3 (unknown: the check itself failed) are logged, and the job starts. docs/acceptance.md has the rest.
# slurmd gives a prolog no PATH and none of its own variables: change the values here.
set -uo pipefail
export PATH=${PATH:-/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin}

trainer=${TRAINER:-trainer}    # the program, on a disk of the node
health=${TRAINER_HEALTH:-}     # a copy of deploy/health.yaml [the one that came with the program]
textfile=${TRAINER_TEXTFILE:-} # a folder for node_exporter's textfile collector [none]
timeout=5                      # of scontrol and logger, in seconds

words=(doctor --prolog)
[[ -z $health ]] || words+=(--health "$health")
[[ -z $textfile ]] || words+=(--prom "$textfile/trainer_health.prom")

status=0
line=$("$trainer" "${words[@]}") || status=$?
((status != 0)) || exit 0

summary=$(sed -n 's/.*"summary":"\(\([^"\\]\|\\.\)*\)".*/\1/p' <<<"$line" | cut -c 1-400)
summary="mnist-trainer: ${summary:-status $status}"
timeout "$timeout" logger --tag mnist-trainer --priority daemon.warning -- "status $status: $summary"
echo "status $status: $summary" >&2
((status == 2)) || exit 0

# Slurm drains a node whose prolog fails; this gives it a reason to show in sinfo -R.
timeout "$timeout" scontrol update "nodename=${SLURMD_NODENAME:-$(hostname -s)}" state=drain "reason=$summary"
exit 1
