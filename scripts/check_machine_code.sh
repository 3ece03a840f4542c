#!/usr/bin/env bash
# Checks the machine code of the GPU kernels without a GPU: loops whose source lines end in `// loads in a row: N` start N loads
# before they wait for one, no division in them is a call, and their kernels neither spill nor take more registers than their
# launches have room for (scripts/machine_code/check.py). It compiles every kernel for compute capability 9.0. Those of the portable
# engine it compiles for every architecture, and asserts that nothing there is fused or approximate (scripts/machine_code/portable.py).
#   scripts/check_machine_code.sh [--table]     --table: prints what each marked loop of each kernel does
#   scripts/check_machine_code.sh --self-test   checks that planted faults are found (scripts/machine_code/planted.cu)
# Needs nvcc, and nvdisasm: the toolkit's, or PyPI's nvidia-cuda-nvdisasm, which is installed into build/machine_code. If
# neither is available, it says so and checks nothing; with CI=true in the environment that is a failure.
set -euo pipefail

root=$(dirname -- "$(dirname -- "$(readlink -f -- "${BASH_SOURCE[0]}")")")
venv=$root/build/machine_code

say() { printf '%s\n' "$*" >&2; }

# found NAME: prints the path of the toolkit's program.
found() {
  command -v "$1" || for folder in "${CUDA_HOME:-}" "${CUDA_PATH:-}" /usr/local/cuda; do
    [[ ! -x $folder/bin/$1 ]] || { printf '%s\n' "$folder/bin/$1" && return; }
  done
}

# packed: prints the path of the package's nvdisasm; newer versions read the output of an older nvcc.
packed() { [[ ! -d $venv ]] || find "$venv" -name nvdisasm -type f -perm -u+x 2>/dev/null | sed -n 1p; }

install() { python3 -m venv "$venv" && "$venv/bin/pip" install --quiet --disable-pip-version-check 'nvidia-cuda-nvdisasm>=13.2,<14'; }

absent() {
  [[ ${CI:-} != true ]] || { say "error: machine code: $1" && exit 1; }
  say "note: the machine code is not checked: $1"
  exit 0
}

nvcc=$(found nvcc) || true
[[ -n $nvcc ]] || absent "there is no nvcc here (the CUDA toolkit)"
nvdisasm=$(found nvdisasm) || true
nvdisasm=${nvdisasm:-$(packed)}
if [[ -z $nvdisasm ]]; then
  install >&2 || absent "there is no nvdisasm in the toolkit, and PyPI's nvidia-cuda-nvdisasm cannot be installed"
  nvdisasm=$(packed)
fi

case ${1:-} in
  '' | --table)
    status=0
    python3 "$root/scripts/machine_code/check.py" "$nvcc" "$nvdisasm" "$@" || status=1
    python3 "$root/scripts/machine_code/portable.py" "$nvcc" "$nvdisasm" || status=1
    exit "$status"
    ;;
  --self-test) exec python3 "$root/scripts/machine_code/self_test.py" "$nvcc" "$nvdisasm" ;;
  *) say "usage: check_machine_code.sh [--table | --self-test]" && exit 2 ;;
esac
