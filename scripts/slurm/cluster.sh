# shellcheck shell=bash disable=SC2154
# A Slurm of two nodes for one script: munged, slurmctld and two slurmd with their own keys, ports and folders, without systemd.
# Each node has a host name and a /tmp of its own; processor and network are the machine's. To be sourced; uses the script's
# variables work (not in /tmp) and cpus (of a node), and sets PATH, SLURM_CONF and daemons.
#   why_no_slurm    prints why none can run here, or nothing if it is worth a try
#   start_slurm     starts it, and waits until its nodes are idle; fails with the end of the daemons' logs. Its prolog is $work/prolog.
#   stop_slurm      cancels what runs there, and ends the daemons

daemons=()

why_no_slurm() {
  local program
  ((EUID == 0)) || { echo "slurmd needs root" && return; }
  for program in munged slurmctld slurmd srun sbatch; do
    PATH=$PATH:/usr/sbin command -v "$program" >/dev/null || { echo "there is no $program (apt-get install slurm-wlm munge)" && return; }
  done
}

# wait_for SECONDS COMMAND...: repeats it until it succeeds.
wait_for() {
  local until=$((SECONDS + $1))
  shift
  until "$@" >/dev/null 2>&1; do
    ((SECONDS < until)) || return 1
    sleep 0.2
  done
}

# The machine has fewer CPUs than tasks, so their count is overridden. A requeued job starts when credentials given to it before
# have expired, which takes two minutes by default.
write_slurm_settings() {
  local port=$((20000 + RANDOM % 10000))
  mkdir -p "$work/state" "$work/node1" "$work/node2"
  cat >"$work/slurm.conf" <<SETTINGS
ClusterName=check
SlurmctldHost=$(hostname -s)(127.0.0.1)
SlurmUser=root
SlurmctldPort=$port
AuthType=auth/munge
AuthInfo=socket=$work/munge/socket,cred_expire=5
CredType=cred/munge
StateSaveLocation=$work/state
SlurmdSpoolDir=$work/%n
SlurmctldPidFile=$work/slurmctld.pid
SlurmdPidFile=$work/%n.pid
SlurmctldLogFile=$work/slurmctld.log
SlurmdLogFile=$work/%n.log
ProctrackType=proctrack/pgid
TaskPlugin=task/none
MpiDefault=none
SlurmdParameters=config_overrides
ReturnToService=2
KillWait=20
Prolog=$work/prolog
NodeName=node1 NodeAddr=127.0.0.1 Port=$((port + 1)) CPUs=$cpus State=UNKNOWN
NodeName=node2 NodeAddr=127.0.0.1 Port=$((port + 2)) CPUs=$cpus State=UNKNOWN
PartitionName=all Nodes=node1,node2 Default=YES MaxTime=INFINITE State=UP
SETTINGS
  echo 'CgroupPlugin=cgroup/v1' >"$work/cgroup.conf"
  export SLURM_CONF=$work/slurm.conf
}

# daemon NAME COMMAND...: starts a program that stays in the foreground.
daemon() {
  local name=$1
  shift
  "$@" >"$work/$name.out" 2>&1 &
  daemons+=("$!")
}

# node NAME
node() {
  daemon "$1" unshare --mount --uts sh -c "hostname $1 && mount -t tmpfs tmpfs /tmp && exec slurmd -D -N $1"
}

nodes_are_idle() { [[ $(sinfo --noheader --format %T) == idle ]]; }

start_slurm() {
  PATH=$PATH:/usr/sbin
  write_slurm_settings
  mkdir -m 755 "$work/munge"
  head -c 1024 /dev/urandom >"$work/munge/key"
  chmod 400 "$work/munge/key"
  daemon munged munged --foreground --force --socket="$work/munge/socket" --key-file="$work/munge/key" \
    --pid-file="$work/munge/pid" --seed-file="$work/munge/seed" --log-file="$work/munge/log"
  wait_for 20 test -S "$work/munge/socket" && daemon slurmctld slurmctld -D -i && node node1 && node node2 &&
    wait_for 60 nodes_are_idle && return
  tail -n 3 "$work"/*.out "$work"/*.log
  return 1
}

no_jobs() { ! grep -qE 'PENDING|RUNNING|COMPLETING' <<<"$(squeue --noheader --states=all --format %T)"; }

stop_slurm() {
  local i
  ((${#daemons[@]})) || return 0
  scancel --user=root --quiet 2>/dev/null && wait_for 30 no_jobs
  for ((i = ${#daemons[@]} - 1; i >= 0; i--)); do
    kill "${daemons[i]}" 2>/dev/null && wait "${daemons[i]}" 2>/dev/null
  done
  daemons=()
}
