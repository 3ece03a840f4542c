# shellcheck shell=bash disable=SC2154
# The remote machine that target_check.sh simulates, and this machine's engine: sshd on loopback, keys, two Docker engines, and an
# image of the program. Uses the script's variables work, port, there, trainer, image, say and skip; sets sshd_pid, engine_pids.

# ends PID: asks a process that this script started to end, waits up to 10 s, and then kills it.
ends() {
  local i
  [[ -n $1 ]] || return 0
  kill "$1" 2>/dev/null
  for ((i = 0; i < 100; i++)); do kill -0 "$1" 2>/dev/null || return 0; sleep 0.1; done
  kill -9 "$1" 2>/dev/null
}

# there ...: runs docker on the simulated machine.
there() { DOCKER_HOST=unix://$work/there/docker.sock docker "$@"; }

start_engine() { # here | there
  local i folder=$work/$1
  mkdir -p "$folder"
  dockerd --bridge=none --iptables=false --default-ulimit nofile=1024:1024 --data-root "$folder/data" \
    --exec-root "$folder/exec" -H "unix://$folder/docker.sock" --pidfile "$folder/pid" >"$folder/log" 2>&1 &
  engine_pids+=("$!")
  for ((i = 0; i < 600; i++)); do
    DOCKER_HOST=unix://$folder/docker.sock docker info >/dev/null 2>&1 && return 0
    kill -0 "${engine_pids[-1]}" 2>/dev/null || break
    sleep 0.2
  done
  tail -n 3 "$folder/log"
  skip "dockerd does not start here"
}

# sshd_config EXTRA...: writes the server's configuration with the lines EXTRA.
write_sshd_config() {
  {
    printf '%s\n' "Port $port" "ListenAddress 127.0.0.1" "HostKey $work/ssh/host" "PidFile $work/ssh/pid" \
      "AuthorizedKeysFile $work/ssh/authorized" "StrictModes no" "UsePAM no" "PasswordAuthentication no" \
      "PermitRootLogin prohibit-password" "$@"
  } >"$work/ssh/sshd_config"
}

start_sshd() {
  local i
  mkdir -p /run/sshd
  "$(PATH=$PATH:/usr/sbin command -v sshd)" -D -e -f "$work/ssh/sshd_config" 2>>"$work/ssh/log" &
  sshd_pid=$!
  for ((i = 0; i < 300; i++)); do
    [[ -z $(ssh-keyscan -p "$port" 127.0.0.1 2>/dev/null) ]] || return 0
    sleep 0.1
  done
  tail -n 3 "$work/ssh/log"
  skip "sshd does not start here"
}

restart_sshd() {
  close_connections
  ends "$sshd_pid"
  write_sshd_config "$@"
  start_sshd
}

# Closes the shared connections in this script's own runtime folder.
close_connections() {
  local socket
  for socket in "$work"/run/mnist-trainer/ssh-*; do
    [[ -S $socket ]] && ssh -o ControlPath="$socket" -O exit any 2>/dev/null
  done
  return 0
}

make_keys() {
  mkdir -p "$work/ssh" "$work/run"
  ssh-keygen -q -t ed25519 -N '' -f "$work/ssh/host"
  ssh-keygen -q -t ed25519 -N '' -f "$work/ssh/user"
  ssh-keygen -q -t ed25519 -N '' -f "$work/ssh/stranger"
  cp "$work/ssh/user.pub" "$work/ssh/authorized"
  printf '[127.0.0.1]:%s %s\n' "$port" "$(cut -d' ' -f1,2 "$work/ssh/host.pub")" >"$work/ssh/known"
  printf 'UserKnownHostsFile %s\nGlobalKnownHostsFile /dev/null\n' "$work/ssh/known" >"$work/ssh/config"
  printf 'UserKnownHostsFile /dev/null\nGlobalKnownHostsFile /dev/null\n' >"$work/ssh/config-unknown"
}

# Makes the smallest image that trains: the program with its libraries and data.
make_image() {
  local tree=$work/tree library
  mkdir -p "$tree/runs" "$tree/tmp" "$tree/etc"
  chmod 1777 "$tree/runs" "$tree/tmp"
  cmake --install "$(dirname -- "$(dirname -- "$trainer")")" --prefix "$tree/usr/local" >/dev/null || return 1
  # The libraries that it names, and the loader itself.
  ldd "$trainer" | grep -o '/[^ ]*' | while IFS= read -r library; do
    mkdir -p "$tree$(dirname -- "$library")" && cp -L -- "$library" "$tree$library"
  done
  tar -C "$tree" -c . | docker import --change 'ENTRYPOINT ["/usr/local/bin/trainer"]' --change 'ENV TRAINER_RUNS=/runs' \
    --change 'USER 1000:1000' --change 'VOLUME /runs' - "$image" >/dev/null
}

cut_connections() {
  local child
  for child in $(ps -o pid= --ppid "$sshd_pid"); do kill -9 "$child"; done
}
