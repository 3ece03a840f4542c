#!/usr/bin/env bash
# Tests trainer's targets end to end: an sshd on loopback and a Docker engine act as the remote machine, a second engine as this
# machine's. Attaches the machine, prepares it, submits a training, and one with its own network and data, cuts the connection
# midway, kills the client, attaches again, fetches, and compares the weights with a local run of the same seed; then simulates
# failures. Everything is in a temporary folder and is removed with it.
#   scripts/target_check.sh [--trainer FILE] [--keep]
# --trainer: the program [build/cpu/trainer/trainer]; its build folder is installed into the image. --keep: leave the folder.
# Needs root, sshd, ssh, dockerd and docker; without them it says what is missing and skips.
set -uo pipefail

root=$(dirname -- "$(dirname -- "$(readlink -f -- "${BASH_SOURCE[0]}")")")
trainer=$root/build/cpu/trainer/trainer
keep=0
work=
engine_pids=()
sshd_pid=
failures=0
image=target-check:1

say() { printf '%s\n' "$*"; }

# shellcheck source=scripts/targets/machine.sh
. "$root/scripts/targets/machine.sh"

while (($# > 0)); do
  case $1 in
    --trainer) trainer=$(readlink -f -- "${2:?--trainer needs a file}") && shift 2 ;;
    --keep) keep=1 && shift ;;
    *) say "usage: target_check.sh [--trainer FILE] [--keep]" >&2 && exit 2 ;;
  esac
done

skip() { say "SKIPPED: $*" && exit 0; }

require_tools() {
  local tool
  ((EUID == 0)) || skip "a Docker engine of its own needs root"
  for tool in ssh ssh-keygen sshd dockerd docker sha256sum tar; do
    PATH=$PATH:/usr/sbin command -v "$tool" >/dev/null || skip "$tool is not installed (openssh-server, docker.io)"
  done
  [[ -x $trainer ]] || skip "$trainer is not built"
}

clean_up() {
  local pid
  close_connections
  there ps -aq 2>/dev/null | while IFS= read -r pid; do there rm -f "$pid" >/dev/null; done
  for pid in "$sshd_pid" "${engine_pids[@]}"; do ends "$pid"; done
  ((keep)) && say "kept: $work" && return
  rm -rf -- "$work"
}

# check NAME STATUS TEXT COMMAND...: requires that the command ends with STATUS and prints TEXT.
check() {
  local name=$1 status=$2 text=$3 got
  shift 3
  "$@" >"$work/out" 2>"$work/err"
  got=$?
  if ((got == status)) && grep -qF -- "$text" "$work/out" "$work/err"; then
    say "passed   $name"
  else
    failures=$((failures + 1))
    say "FAILED   $name: status $got, wanted $status with '$text'; it said:"
    sed 's/^/         /' "$work/out" "$work/err" | tail -n 12
  fi
}

expect() {
  local name=$1
  shift
  if "$@"; then say "passed   $name"; else failures=$((failures + 1)) && say "FAILED   $name"; fi
}

waits_for() {
  local i
  for ((i = 0; i < 3000; i++)); do "$@" && return 0; sleep 0.1; done
  return 1
}

attach() { # NAME KEY CONFIG [IMAGE]
  "$trainer" target attach "$1" --address 127.0.0.1 --username root --port "$port" --identity-file "$work/ssh/$2" \
    --ssh-config "$work/ssh/$3" --image "${4:-$image}" --gpus none
}

# Prints the tensors of a .safetensors file: everything after its header.
tensors() {
  local header
  header=$(od -An -t u8 -N 8 -- "$1" | tr -d ' ')
  tail -c "+$((header + 9))" -- "$1"
}

same_weights() { cmp -s <(tensors "$1/model.safetensors") <(tensors "$2/model.safetensors"); }
record_says() { grep -qE -- "$2" <(tr -d '\n' <"runs/$1/run.json"); }
newest() { find runs -mindepth 1 -maxdepth 1 -type d -printf '%f\n' | sort | tail -n 1; }
shows() { grep -q -- "$1" "$2" 2>/dev/null; }
lacks() { ! grep -q -- "$1" "$2"; }
has_ended() { ! kill -0 "$1" 2>/dev/null; }

training=(train --threads 1 --limit-train 2000 --epochs 3 --seed 7 --batch 64 --device cpu)

prove_submission() {
  check "attach" 0 "attached vm" attach vm user config
  check "prepare sends the image" 0 "ready" "$trainer" prepare -c vm
  check "prepare: the second call finds it up to date" 0 "up to date" "$trainer" prepare -c vm
  check "check says that the image has no MPI" 0 "build_image.sh --ranks adds it" "$trainer" target check vm
  check "check" 0 "Docker" "$trainer" target check vm
  check "local run of the seed" 0 "accuracy" "$trainer" "${training[@]}" --out local
  check "submit to the remote container" 0 "epoch 3/3" "$trainer" submit -c vm -- "${training[@]}"
  expect "its record is finished and names the target" record_says "$(newest)" '"status": "finished".*"name": "vm"'
  expect "same weights as the local run" same_weights "runs/$(newest)" local
  expect "its container is gone" test -z "$(there ps -aq)"
  check "submit to this machine's process" 0 "epoch 3/3" "$trainer" submit -c local -- "${training[@]}"
  expect "same weights from the process" same_weights "runs/$(newest)" local
  "$trainer" target attach box --type localdocker --image "$image" >/dev/null
  check "submit to this machine's container" 0 "epoch 3/3" "$trainer" submit -c box -- "${training[@]}"
  expect "same weights from the container" same_weights "runs/$(newest)" local
  check "a wrong option's status comes through" 2 "unknown option '--epoch'" "$trainer" submit -c vm -- train --epoch 3
  check "strange words reach the program as they are" 1 "a b'\"\$(id)" "$trainer" submit -c vm -- train --data "a b'\"\$(id)"
}

# The user's own network and data set, under names that are special to a shell.
prove_sent_files() {
  local folder="my \$(id) \"files\"" source=$work/tree/usr/local/share/mnist-trainer
  local model="$folder/it's mine.yaml" data="$folder/da,ta"
  mkdir "$folder"
  cp "$source/models/lenet.yaml" "$model"
  cp -r "$source/mnist" "$data"
  check "local run of the user's files" 0 "accuracy" "$trainer" "${training[@]}" --model "$model" --data "$data" --out own
  check "files are sent" 0 "sending" "$trainer" submit -c vm -- "${training[@]}" --model "$model" --data "$data"
  expect "same weights with them" same_weights "runs/$(newest)" own
  check "and a second time" 0 "accuracy" "$trainer" submit -c vm -- "${training[@]}" --model "$model" --data "$data"
  expect "they are not sent again" lacks "sending" "$work/err"
  check "a container here reads them in place" 0 "accuracy" \
    "$trainer" submit -c box -- "${training[@]}" --model "$model" --data "$data"
  expect "same weights from it" same_weights "runs/$(newest)" own
}

# Submits a long training in the background: its process is $client, its run $run.
submit_long() { # [EPOCHS [OPTION...]]
  local before epochs=${1:-12}
  before=$(newest)
  rm -f "$work/stream"
  "$trainer" submit -c vm "${@:2}" -- "${training[@]}" --epochs "$epochs" >"$work/stream" 2>&1 &
  client=$!
  waits_for shows "epoch 2/$epochs" "$work/stream"
  run=$(newest)
  [[ $run != "$before" ]]
}

prove_lost_connection() {
  local client run
  "$trainer" "${training[@]}" --epochs 12 --out long >/dev/null
  expect "a long training is under way" submit_long
  cut_connections
  wait "$client"
  expect "a client whose connection was cut makes it anew" test $? -eq 0
  expect "and says so" shows "trying again" "$work/stream"
  expect "and shows each epoch once" test "$(grep -c '^epoch [0-9]' "$work/stream")" -eq 12
  expect "same weights" same_weights "runs/$run" long
  expect "another long training is under way" submit_long 12 --reconnect 0
  cut_connections
  wait "$client"
  expect "a client that may not ends with 1" test $? -eq 1
  expect "and says how to go on" shows "trainer runs attach $run" "$work/stream"
  expect "the record is open" record_says "$run" '"status": "running"'
  check "attach shows all and fetches" 0 "epoch 12/12" "$trainer" runs attach "$run"
  expect "same weights after the cut" same_weights "runs/$run" long
  expect "a third long training is under way" submit_long
  kill -9 "$client"
  wait "$client" 2>/dev/null
  check "a killed client loses nothing" 0 "fetched" "$trainer" runs wait "$run"
  expect "same weights after the kill" same_weights "runs/$run" long
  expect "a fourth one, which would last, is under way" submit_long 1000
  check "cancel" 0 "cancelled" "$trainer" runs cancel "$run"
  waits_for has_ended "$client"
  expect "a cancelled run has saved" record_says "$run" '"status": "stopped"'
  expect "and its container is gone" test -z "$(there ps -aq)"
}

prove_resumption() {
  local run
  check "a training that its time limit stops" 0 "or there with" \
    "$trainer" submit -c vm -- "${training[@]}" --epochs 12 --max-seconds 0.000001
  run=$(newest)
  expect "its record says so" record_says "$run" '"status": "stopped"'
  check "it goes on there" 0 "epoch 12/12" "$trainer" submit --resume "$run" -- train --threads 1 --device cpu
  expect "same weights as without a stop" same_weights "runs/$run" long
}

prove_failures() {
  local client run
  attach stranger stranger config >/dev/null
  check "wrong key" 1 "does not take the key" "$trainer" submit -c stranger -- "${training[@]}"
  expect "its record says so" record_says "$(newest)" '"failed".*does not take the key'
  attach unknown user config-unknown >/dev/null
  check "unknown host key" 1 "is not known" "$trainer" submit -c unknown -- "${training[@]}"
  attach imageless user config no-such-image:1 >/dev/null
  check "image missing" 1 "neither on this machine nor there" "$trainer" submit -c imageless -- "${training[@]}"
  expect "a fifth one is under way" submit_long 1000
  there kill "$run" >/dev/null
  wait "$client"
  expect "a killed container's status comes through" test $? -eq 137
  expect "its record says so" record_says "$run" '"failed".*was killed'
  restart_sshd "SetEnv $there PATH=/nowhere"
  check "no docker" 1 "no docker program" "$trainer" submit -c vm -- "${training[@]}"
  # shellcheck disable=SC2016
  restart_sshd "SetEnv $there" \
    'ForceCommand setpriv --reuid=65534 --regid=65534 --clear-groups /bin/sh -c "$SSH_ORIGINAL_COMMAND"'
  check "no permission on the socket" 1 "usermod -aG docker" "$trainer" submit -c vm -- "${training[@]}"
  check "the check shows it too" 1 "usermod -aG docker" "$trainer" target check vm
  close_connections
  ends "$sshd_pid"
  check "target gone" 1 "refuses the connection" "$trainer" submit -c vm -- "${training[@]}"
  expect "its record says so" record_says "$(newest)" '"failed".*refuses the connection'
}

main() {
  require_tools
  work=$(mktemp -d /tmp/target-check-XXXXXX)
  trap clean_up EXIT
  port=$((20000 + RANDOM % 10000))
  there="DOCKER_HOST=unix://$work/there/docker.sock XDG_CACHE_HOME=$work/there/cache"
  export DOCKER_HOST=unix://$work/here/docker.sock XDG_RUNTIME_DIR=$work/run
  unset TRAINER_RUNS TRAINER_DATA
  make_keys
  start_engine here
  start_engine there
  write_sshd_config "SetEnv $there"
  start_sshd
  expect "an image of this program" make_image
  mkdir "$work/project" && cd "$work/project" || exit 1
  prove_submission
  prove_sent_files
  prove_lost_connection
  prove_resumption
  prove_failures
  say "targets: $failures of the checks failed"
  ((failures == 0))
}

main
