# shellcheck shell=bash
# Finds CUDA, cuDNN and cuBLAS for a program on a machine that it was not built on: in folders that the user names,
# in the toolkit, or in the wheels of a Python that has PyTorch or JAX. To be sourced.
# It looks only for what the loader does not find, so a program that starts without help is left as it is.

# python_library_folders: prints the folders of NVIDIA's wheels in the python3 on the path, one per line.
python_library_folders() {
  local site
  command -v python3 >/dev/null || return 0
  { python3 -c 'import site, sysconfig
print(sysconfig.get_path("purelib"), *site.getsitepackages(), site.getusersitepackages(), sep="\n")' 2>/dev/null || true; } |
    awk '!seen[$0]++' | while IFS= read -r site; do
    compgen -G "$site/nvidia/*/lib" || true
  done
}

# candidate_folders DIR...: prints where the libraries may be, best first, one per line.
candidate_folders() {
  (($# == 0)) || printf '%s\n' "$@"
  printf '%s\n' "${CUDA_HOME:+$CUDA_HOME/lib64}" "${CUDA_PATH:+$CUDA_PATH/lib64}" /usr/local/cuda/lib64 | grep . || true
  compgen -G '/usr/local/cuda-*/lib64' || true
  python_library_folders
}

# missing_libraries PROGRAM PATH: prints the libraries that the loader does not find with this LD_LIBRARY_PATH, one per line.
missing_libraries() {
  LD_LIBRARY_PATH=$2 ldd "$1" 2>/dev/null | awk '/=> not found/ { print $1 }' | sort -u
}

# nccl_folder DIR...: prints where libnccl is, which ranks on GPUs load, unless the loader finds it by itself.
nccl_folder() {
  local folder
  [[ $(PATH=$PATH:/sbin:/usr/sbin ldconfig -p 2>/dev/null) != *'libnccl.so.2 '* ]] || return 0
  while IFS= read -r folder; do
    [[ ! -e $folder/libnccl.so.2 ]] || { printf '%s\n' "$folder" && break; }
  done < <(candidate_folders "$@")
}

# find_cuda_libraries PROGRAM PATH DIR...: prints PATH and the other folders that PROGRAM needs, joined with colons;
# the DIRs are always included. If a library is missing, it fails and names it on standard error.
# libcublasLt is loaded by the program and libnvrtc by cuDNN at run time, so the loader cannot name them: their folders are
# added if something else is missing.
find_cuda_libraries() {
  local program=$1 path=$2 library folder candidates missing wheels=no cublas=libcublasLt.so
  shift 2
  for folder in "$@"; do path=${path:+$path:}$folder; done
  mapfile -t missing < <(missing_libraries "$program" "$path")
  if ((${#missing[@]})); then
    mapfile -t candidates < <(candidate_folders "$@")
    for library in "${missing[@]}"; do [[ $library != libcudart.so.* ]] || cublas=libcublasLt.so.${library##*.so.}; done
    for library in "${missing[@]}" "$cublas" libnvrtc.so; do
      for folder in "${candidates[@]}"; do
        compgen -G "$folder/$library*" >/dev/null || continue
        [[ :$path: == *":$folder:"* ]] || path=${path:+$path:}$folder
        wheels=yes
        break
      done
    done
    mapfile -t missing < <(missing_libraries "$program" "$path")
  fi
  if ((${#missing[@]})); then
    printf 'error: %s does not start here without: %s\n' "$(basename -- "$program")" "${missing[*]}" >&2
    [[ $wheels == yes ]] || printf '%s\n' "  nothing of CUDA was found in: ${candidates[*]:-}" >&2
    printf '%s\n' "  name their folders: --cuda-libs DIR... (a toolkit's lib64, or site-packages/nvidia/*/lib of a Python" \
      "  with PyTorch or JAX); a build for CUDA 13 needs CUDA 13's libraries" >&2
    return 1
  fi
  folder=$(nccl_folder "$@")
  [[ -z $folder || :$path: == *":$folder:"* ]] || path=${path:+$path:}$folder
  printf '%s\n' "$path"
}
