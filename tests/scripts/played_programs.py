"""What the tests of gpu_check play: a device, and scripts in place of the trainer, the tests, NVIDIA's tools, ldd and the
benchmarks; `play` beside them says what they do."""
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
[ -z "$STRAYS" ] || setsid sleep "$STRAYS" >/dev/null 2>&1 &
case "$1" in
  --version) echo "trainer 0.1.0 0123456789ab"; exit ;;
  doctor)
    if [ -n "$WRONG" ]; then echo "{\"verdict\": \"1 finding\", \"odd\": [\"$WRONG\"]}"; exit 19; fi
    echo '{"verdict": "healthy in what was run", "odd": []}'; exit ;;
  devices) if [ "$2" = --json ]; then cat "$top/device.json"; else cat "$top/block"; fi; exit ;;
esac
command=$1 model=quick out= seed=1 seeds=1 profile= ranks=1
[ "$command" != "$HANGS_IN" ] || sleep "$HANGS"
while [ $# -gt 0 ]; do
  case "$1" in
    --out) out=$2 ;;
    --model) model=$2 ;;
    --seed) seed=$2 ;;
    --ranks) ranks=$2 ;;
    --profile) profile=$2 ;;
    --precision) [ "$2" != "$LOSES" ] || ACCURACY=0.994 ;;
  esac
  shift
done
[ "$model" != quick ] || NODES=$QUICK_NODES
if [ -n "$out" ]; then
  mkdir -p "$out"
  echo "$seed $(${WEIGHTS:-true})" >"$out/model.safetensors"
fi
if [ "$command" = train ]; then
  if [ "$ranks" != 1 ] && [ -n "$NO_MPIRUN" ]; then echo "error: --ranks $ranks needs an mpirun"; exit 2; fi
  echo '{"event":"run"}'
  [ -z "$profile" ] || echo '{"event":"profile","clock":"device","parts":[{"name":"conv1","direction":"forward","seconds":3e-6},
    {"name":"conv1","direction":"backward","seconds":5e-6},{"name":"update","direction":"","seconds":2e-6}]}' | tr -d '\n'
  echo
  echo '{"event":"epoch","seconds":0.01}'
  echo "{\"event\":\"end\",\"graph_nodes\":$NODES,\"digest\":\"d$([ "$ranks" != "$LOSES_BITS" ] || echo $ranks)\",\"seconds\":1,\"test\":{\"images\":10000,\"accuracy\":$ACCURACY}}"
else
  echo '{"event":"seed","seed":1,"test_loss":0.25,"seconds":0.002}'
  echo "{\"event\":\"seed\",\"seed\":2,\"test_loss\":0.5$(${LOSS:-true}),\"seconds\":0.00$$}"
  echo "{\"event\":\"end\",\"accuracy_percent\":{\"mean\":$SPRINT},\"process_seconds\":0.5,
    \"train_and_test_seconds\":{\"median\":0.002,\"min\":0.001,\"max\":0.003}}" | tr -d '\n'
fi
exit "${TRAIN_EXIT:-0}"
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
[ -z "$SKIPS" ] || printf '%s\n' "world.cpp:7: Skipped" "$SKIPS"
[ -z "$report" ] || echo "{\"testsuites\":[{\"name\":\"All/Ops\",\"testsuite\":[
  {\"name\":\"Conv/$kind\",\"status\":\"RUN\",\"result\":\"${SKIPS:+SKIPPED}\"$failures}]}]}" >"$report"
[ -z "$failures" ]
"""

# Its twin is the same script under another name.
BITS = r"""#!/bin/sh
. "$(dirname "$0")/../play"
[ "$(basename "$0")" = gpu_bits_test ] || other=$JITTER
[ -n "$TRAINER_MODELS" ] || exit 1
echo "sprint.conv1/cuda 1111" >"$TRAINER_BITS_OUT"
[ -z "$HANGS_BITS" ] || sleep "$HANGS_BITS"
echo "sprint.dense1/cuda ${other:-2222}" >>"$TRAINER_BITS_OUT"
"""

FIRST_CONTACT = r"""#!/bin/sh
. "$(dirname "$0")/../play"
[ "$*" = --json ] || exit 2
[ -z "$HANGS_FIRST" ] || sleep "$HANGS_FIRST"
echo '{"figures": [{"name": "node of a graph, plain", "unit": "us", "value": 1.25},' \
  '{"name": "node of a graph, programmatic", "unit": "us", "error": "a launch inside the capture: cudaErrorNotSupported"},' \
  "{\"name\": \"first launch of a kernel inside a capture (0: it works)\", \"unit\": \"\", ${CAPTURE:-\"value\": 0}}]}"
"""

# What ncu writes: two steps, behind the kernels that make ready.
NCU = r"""#!/bin/sh
. "$PLAYED/play"
while [ "$1" != --log-file ]; do shift; done
if [ -n "$NCU_REFUSES" ]; then echo "==ERROR== ERR_NVGPUCTRPERM - no permission for the counters" >"$2"; exit 1; fi
row() { printf '"%s","trainer","%s","gpu__time_duration.sum","ns","%s"\n' 1 "$1" "$2"; }
{
  echo "==PROF== Connected"
  echo '"ID","Process Name","Kernel Name","Metric Name","Metric Unit","Metric Value"'
  row fill 900
  for extra in 0 200; do
    row "void trainer::cuda::(anonymous namespace)::first_norm<(int)0>(Arguments)" "1$extra"
    row product_norm "2,000"
    row product_norm 3000
    row surprise 500
    row muon 8000
  done
  row first_norm 77
} >"$2"
"""

GPU_MODEL = """import json, sys
if sys.argv[-1] == "quick":
    sys.exit("played: no model of it")
print(json.dumps({"network": sys.argv[-1], "precision": "fp32", "device": "H200", "step_us": 10, "kernels": [
    {"kernel": "first_norm", "layer": "conv1", "us": 1.0}, {"kernel": "product_norm", "layer": "conv2", "us": 2.0},
    {"kernel": "product_norm", "layer": "dense1", "us": 1.0}, {"kernel": "muon", "layer": "step", "us": 4.0}]}))
"""

# Stands for libcuda.so.1 and libnvidia-ml.so.1.
DRIVER = """
int cuInit(unsigned flags) { return (int)flags; }
int cuDeviceGet(int* device, int index) { *device = index; return 0; }
int cuDevicePrimaryCtxRetain(void** context, int device) { *context = context; return device; }
int nvmlInit_v2(void) { return 0; }
int nvmlDeviceGetHandleByIndex_v2(unsigned index, void** device) { *device = device; return (int)index; }
int nvmlDeviceGetClockInfo(void* device, int kind, unsigned* megahertz) { *megahertz = 1980; return device && kind == 1 ? 0 : 1; }
"""

# Finds the fault that it is asked for; over other programs what the play says.
SANITIZER = r"""#!/bin/sh
top=$PLAYED
. "$top/play"
tool=$2
echo "$*" >>"$top/tool_calls"
for last in "$@"; do :; done
[ "$SLOW" != "$tool" ] || [ "$last" = none ] || [ "$last" = "$tool" ] || sleep 6543
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
print("a line of the benchmark, engines", sys.argv[sys.argv.index("--engines") + 1] if "--engines" in sys.argv else "all")
json.dump({"summary": "8 of 9 goals"}, open(sys.argv[sys.argv.index("--out") + 1], "w"))
"""

SPRINT_PEER = """import json
print(json.dumps({"seeds": [{"seed": 1, "accuracy_percent": 99, "seconds": 0.01}]}))
"""
