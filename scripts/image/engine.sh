# shellcheck shell=bash
# A Docker engine for one script: Debian's docker.io with its own socket and folders, which sees none of the machine's
# images and leaves its network and firewall alone. To be sourced.
#   why_no_engine          prints why none can run here, or nothing if it is worth a try
#   start_engine FOLDER    starts it, or uses the one that runs there, and sets DOCKER_HOST; fails with the end of its log
#   stop_engine FOLDER     stops it and removes its folders
# Containers get no network but the host's: there is no bridge, so `docker build` and `docker run` need --network host or none.

why_no_engine() {
  local program
  if ((EUID != 0)); then
    echo "only root can start a Docker engine"
    return
  fi
  for program in dockerd containerd runc docker; do
    command -v "$program" >/dev/null && continue
    echo "there is no $program (apt-get install docker.io)"
    return
  done
}

# wait_for SECONDS COMMAND...: repeats it until it succeeds.
wait_for() {
  local until=$((SECONDS + $1))
  shift
  until "$@" >/dev/null 2>&1; do
    ((SECONDS < until)) || return 1
    sleep 0.5
  done
}

# engine_failed FOLDER WHAT
engine_failed() {
  { echo "error: $2 did not start; the end of $1/$2.log:" && tail -n 5 "$1/$2.log" | cut -c 1-300; } >&2
  return 1
}

start_engine() {
  local folder=$1
  export DOCKER_HOST=unix://$folder/docker.sock
  unset DOCKER_CONTEXT
  ! docker version >/dev/null 2>&1 || return 0
  mkdir -p "$folder"
  containerd --root "$folder/containerd" --state "$folder/state" --address "$folder/containerd.sock" \
    >"$folder/containerd.log" 2>&1 &
  echo $! >"$folder/containerd.pid"
  wait_for 120 test -S "$folder/containerd.sock" || { engine_failed "$folder" containerd || return; }
  dockerd --bridge=none --iptables=false --ip-forward=false --default-ulimit nofile=1024:1024 \
    --data-root "$folder/data" --exec-root "$folder/exec" --containerd "$folder/containerd.sock" \
    --host "unix://$folder/docker.sock" --pidfile "$folder/docker.pid" >"$folder/dockerd.log" 2>&1 &
  echo $! >"$folder/dockerd.pid"
  wait_for 120 docker version || engine_failed "$folder" dockerd
}

# end_process FILE: ends the process whose id is in the file, and waits for it.
end_process() {
  local id
  [[ -s $1 ]] || return 0
  id=$(<"$1")
  kill "$id" 2>/dev/null || return 0
  wait_for 60 eval "! kill -0 $id" || kill -KILL "$id" 2>/dev/null || true
}

stop_engine() {
  local folder=$1 mounted
  end_process "$folder/dockerd.pid"
  end_process "$folder/containerd.pid"
  awk -v under="$folder/" 'index($2, under) == 1 { print $2 }' /proc/mounts | sort -r | while read -r mounted; do
    umount "$mounted" || true
  done
  rm -rf "$folder"
}
