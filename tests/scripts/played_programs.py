"""What gpu_check_test.py plays: a device, and scripts in place of trainer, tests, compute-sanitizer, ldd and benchmarks."""
DEVICE = {"kind": "cuda", "gpu": {"used": True, "reason": "", "name": "NVIDIA Played", "uuid": "GPU-1", "major": 9,
                                  "code": {"text": "machine code for 9.0"}},
          "gpu_software": {"driver": "580.1"}, "cpu": {"model": "Played CPU", "cores": 4, "memory_bytes": 1}}
BLOCK = """Found device 0 with properties:
name: NVIDIA Played
major: 9 minor: 0 memoryClockRate (GHz) 1.98
pciBusID 0000:01:00.0
Total memory: 139.81GiB
Free memory: 139.01GiB
"""

TRAINER = r"""#!/bin/sh
top=$(dirname "$0")/..
. "$top/play"
echo "$*" >>"$top/calls"
case "$1" in
  --version) echo "trainer 0.1.0 0123456789ab" ;;
  devices) if [ "$2" = --json ]; then cat "$top/device.json"; else cat "$top/block"; fi ;;
  train)
    [ -z "$HANGS" ] || sleep "$HANGS"
    out= seed=1
    while [ $# -gt 0 ]; do
      case "$1" in --out) out=$2 ;; --seed) seed=$2 ;; --precision) [ "$2" != "$LOSES" ] || ACCURACY=0.994 ;; esac
      shift
    done
    if [ -n "$out" ]; then
      mkdir -p "$out"
      echo "$seed $(${WEIGHTS:-true})" >"$out/model.safetensors"
    fi
    echo '{"event":"run"}'
    echo '{"event":"epoch","seconds":0.01}'
    echo "{\"event\":\"end\",\"graph_nodes\":$NODES,\"seconds\":1,\"test\":{\"images\":10000,\"accuracy\":$ACCURACY}}"
    exit "${TRAIN_EXIT:-0}" ;;
  sprint)
    echo '{"event":"seed"}'
    echo "{\"event\":\"end\",\"accuracy_percent\":{\"mean\":$SPRINT},\"process_seconds\":0.5,
      \"train_and_test_seconds\":{\"median\":0.002,\"min\":0.001,\"max\":0.003}}" | tr -d '\n' ;;
esac
"""

TEST = r"""#!/bin/sh
top=$(dirname "$0")/..
. "$top/play"
for word in "$@"; do case "$word" in --gtest_output=json:*) report=${word#--gtest_output=json:} ;; esac; done
[ "$DIES" != "$(basename "$0")" ] || exit 139
kind=cuda
[ "$CPU_ONLY" != "$(basename "$0")" ] || kind=cpu
failures=
[ "$FAILS" != "$(basename "$0")" ] || failures=',"failures":[{"failure":"played"}]'
[ -z "$report" ] || echo "{\"testsuites\":[{\"name\":\"All/Ops\",\"testsuite\":[
  {\"name\":\"Conv/$kind\",\"status\":\"RUN\",\"result\":\"COMPLETED\"$failures}]}]}" >"$report"
[ -z "$failures" ]
"""

# Finds the fault that it is asked for; over other programs what the play says.
SANITIZER = r"""#!/bin/sh
top=$PLAYED
. "$top/play"
tool=$2
for last in "$@"; do :; done
if [ -n "$REFUSES" ]; then echo "========= Error: Device not supported"; exit 1; fi
case "$*" in
  *planted_fault*)
    if [ "$last" = "$tool" ] && [ "$BLIND" != "$tool" ]; then echo "========= ERROR SUMMARY: 1 error"; exit 66; fi ;;
  *)
    if [ "$FINDS" = "$tool" ]; then
      printf '========= %s\n' "Played fault of size 4" "    at $WHERE+0x10" "" "ERROR SUMMARY: 1 error"
      exit 66
    fi ;;
esac
echo "========= ERROR SUMMARY: 0 errors"
"""

LDD = r"""#!/bin/sh
. "$PLAYED/play"
for library in $MISSING; do
  found=
  for folder in $(echo "$LD_LIBRARY_PATH" | tr : ' '); do [ ! -e "$folder/$library" ] || found=yes; done
  [ -n "$found" ] || printf '\t%s => not found\n' "$library"
done
"""

BENCHMARK = """import json, os, sys
if os.environ.get("PEER_FAILS"):
    sys.exit("played failure")
print("a line of the benchmark")
json.dump({"summary": "8 of 9 goals"}, open(sys.argv[sys.argv.index("--out") + 1], "w"))
"""

SPRINT_PEER = """import json
print(json.dumps({"seeds": [{"seed": 1, "accuracy_percent": 99, "seconds": 0.01}]}))
"""
