# Sourced by train.sh and test.sh: tells whether the real GPU engine can be compiled here.
# shellcheck shell=bash

# missing_toolkit: prints which of nvcc and cuDNN is missing, in words, or nothing if CMake will find both.
missing_toolkit() {
  local folder wanted=()
  command -v nvcc >/dev/null || [[ -x /usr/local/cuda/bin/nvcc ]] || wanted+=("nvcc (the CUDA toolkit, 12.4 or newer)")
  for folder in "${CUDNN_ROOT:-/usr/local/cuda}/include" /usr/include /usr/include/"$(uname -m)"-linux-gnu /usr/local/include; do
    if [[ -e $folder/cudnn.h ]]; then
      folder=
      break
    fi
  done
  [[ -z $folder ]] || wanted+=("cudnn.h (cuDNN 9)")
  ((${#wanted[@]} == 0)) || printf '%s\n' "$(IFS=,; printf '%s' "${wanted[*]}" | sed 's/,/ and /')"
}
