#!/usr/bin/env bash
# Runs the pods of deploy/kubernetes under podman (podman kube play), cut out of their Job and their DaemonSet, with an image of its own: the
# installed program, its libraries and a shell, made without a registry. Everything is in a temporary folder and is removed with it.
#   scripts/pod_check.sh [--build FOLDER]
# --build: a build folder with the program [build/cpu].
# Needs root, podman and python3-yaml; without them it says what is missing and skips. The pods have no network.
set -euo pipefail

root=$(dirname -- "$(dirname -- "$(readlink -f -- "${BASH_SOURCE[0]}")")")
build=$root/build/cpu
image=localhost/mnist-trainer:cpu
failures=0

say() { printf '%s\n' "$*"; }
skip() { say "SKIPPED: $*" && exit 0; }
pod() { podman --root "$work/root" --runroot "$work/run" --storage-driver vfs "$@"; }

case "${1:-}" in
  --build) build=$(readlink -f -- "${2:?--build needs a folder}") ;;
  ?*) say "usage: pod_check.sh [--build FOLDER]" >&2 && exit 2 ;;
esac

# crun refuses version 1 of control groups beside a controller of version 2, so it sees version 1 alone, in a mount namespace of this script.
alone() {
  [[ -z ${IN_OWN_NAMESPACE:-} ]] || return 0
  IN_OWN_NAMESPACE=1 exec unshare --mount "$0" "$@"
}

clean_up() {
  pod pod rm --all --force --time 0 >/dev/null 2>&1 || true
  pod rm --all --force --time 0 >/dev/null 2>&1 || true
  awk -v under="$work/" 'index($2, under) == 1 { print $2 }' /proc/mounts | sort -r | xargs --no-run-if-empty umount || true
  rm -rf -- "$work"
}

# shellcheck source=scripts/results.sh
. "$root/scripts/results.sh"

fails() { ! "$@"; }

# within SECONDS COMMAND...: repeats it until it succeeds.
within() {
  local until=$((SECONDS + $1))
  shift
  until "$@"; do ((SECONDS < until)) && sleep 0.2 || return 1; done
}

# The limits are those that this process may set.
write_settings() {
  export CONTAINERS_CONF=$work/containers.conf
  cat >"$CONTAINERS_CONF" <<'SETTINGS'
[containers]
default_ulimits = ["nofile=1024:1024", "nproc=1024:1024"]
netns = "none"
[engine]
cgroup_manager = "cgroupfs"
events_logger = "file"
SETTINGS
}

make_image() {
  local tree=$work/tree program library
  cmake --install "$build" --prefix "$tree/opt/mnist-trainer" >/dev/null
  mkdir -p "$tree/bin" "$tree/tmp" "$tree/etc"
  cp "$(readlink -f /bin/sh)" "$tree/bin/sh" && cp /bin/sleep "$tree/bin/"
  for program in "$tree"/bin/* "$tree/opt/mnist-trainer/bin/trainer"; do
    for library in $(ldd "$program" | grep -o '/[^ ]*'); do install -D "$(readlink -f "$library")" "$tree$library"; done
  done
  tar --directory "$tree" --create . | pod import --change 'ENV PATH=/opt/mnist-trainer/bin:/bin' --change 'WORKDIR /tmp' - "$image" >/dev/null 2>&1
}

# cut_out FILE: prints the template in it as a Pod, for this machine, and with it the map of settings.
cut_out() {
  python3 - "$root/deploy/kubernetes/$1" "$work" <<'CUT'
import pathlib, sys, yaml
workload = yaml.safe_load(open(sys.argv[1], encoding="utf-8"))
folder = pathlib.Path(sys.argv[2])
pod = workload["spec"]["template"]["spec"]
pod.pop("nodeSelector", None)
for volume in pod.get("volumes", []):
    if "hostPath" in volume:
        volume["hostPath"]["path"] = str(folder / "textfile")
yaml.Dumper.ignore_aliases = lambda *_: True
settings = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "mnist-trainer-health"},
            "data": {"health.yaml": (folder / "health.yaml").read_text(encoding="utf-8")}}
keep = {"io.podman.annotations.init.container.type": "always"}  # podman would remove a container of initContainers at its end
whole = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": workload["metadata"]["name"], "annotations": keep}, "spec": pod}
print(yaml.dump_all([settings, whole], Dumper=yaml.Dumper))
CUT
}

# play FILE: starts its pod anew.
play() {
  pod pod rm --all --force --time 0 >/dev/null 2>&1
  cut_out "$1" >"$work/pod.yaml" && pod kube play --network none "$work/pod.yaml"
}

state_is() {
  local state
  state=$(pod inspect "$1" --format '{{.State.Status}} {{.State.ExitCode}}') && echo "$state" && [[ $state =~ ^($2)$ ]]
}
logged() { pod logs "$1" 2>&1 | grep -E -- "$2"; }
metric() { grep -xF -- "$1" "$work/textfile/trainer_health.prom"; }

prove_health() {
  local node=mnist-trainer-health
  cp "$root/deploy/health.yaml" "$work/health.yaml"
  result "the shipped health.yaml starts the DaemonSet's pod" play health.yaml
  result "its first check passed" within 30 state_is "$node-first" "(exited|stopped) 0"
  result "the next ones will follow" state_is "$node-again" "running 0"
  result "node_exporter reads the result" metric "trainer_health_status 0"
  printf 'gpus: 1000\nGPU count: warn\n' >"$work/health.yaml"
  result "a warning starts it too" play health.yaml
  result "and is written down" metric "trainer_health_status 1"
  result "the next ones will follow" state_is "$node-again" "running 0"
  printf 'GPU: fatal\n' >"$work/health.yaml"
  result "so does a check that fails" play health.yaml
  result "and is written down" metric "trainer_health_status 3"
  printf 'gpus: 1000\nGPU count: critical\n' >"$work/health.yaml"
  result "a critical finding does not" fails play health.yaml
  result "the first check failed" within 30 state_is "$node-first" "(exited|stopped) 1"
  result "its log has the finding" logged "$node-first" '"summary":"critical: GPU count: [0-9]+ of 1000"'
  result "no other one will follow" fails state_is "$node-again" "running 0"
  result "and it is written down" metric "trainer_health_status 2"
}

prove_prove() {
  result "the Job's pod starts" play prove.yaml
  result "it ends with 0" within 200 state_is mnist-trainer-prove-prove "(exited|stopped) 0"
  result "every training met the digest" logged mnist-trainer-prove-prove '^healthy in what was run: sprint-lean ended 3 times'
}

((EUID == 0)) || skip "pods with control groups need root"
command -v podman >/dev/null || skip "there is no podman (./scripts/install_packages.sh --health)"
command -v catatonit >/dev/null || skip "there is no catatonit, which podman's pods need (./scripts/install_packages.sh --health)"
python3 -c 'import yaml' 2>/dev/null || skip "there is no PyYAML (./scripts/install_packages.sh --health)"
[[ -x $build/trainer/trainer ]] || skip "$build/trainer/trainer is not built"
alone "$@"
! mountpoint --quiet /sys/fs/cgroup/unified || umount /sys/fs/cgroup/unified
mkdir -p "$root/build"
work=$(mktemp -d "$root/build/pod-check-XXXXXX")
trap clean_up EXIT
write_settings
make_image
pod run --rm --network none "$image" trainer --version >"$work/said" 2>&1 || skip "podman starts no container here: $(tail -n 1 "$work/said")"
prove_health
prove_prove
say "pods: $failures of the checks failed"
((failures == 0))
