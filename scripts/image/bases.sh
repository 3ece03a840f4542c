# shellcheck shell=bash
# Makes base images without a registry: this machine's Debian from a debootstrap tree, and the same with this machine's CUDA
# toolkit and cuDNN in /usr/local/cuda. They replace the bases that the Dockerfile uses by default. To be sourced.

# Left out of a devel image: CUDA's other libraries, and archives that nothing here links.
toolkit_excludes=('libcufft*' 'libcusparse*' 'libcusolver*' 'libcurand*' 'libnccl*' 'libnvJitLink*' 'libnpp*' 'libnvjpeg*'
                  'libcufile*' 'libcudnn_adv*' 'libcheckpoint*' 'libnvperf*' 'libcupti*' 'libpcsampling*' 'libnvblas*' '*.alt.so*'
                  'lib*_static_*.a' 'dist-info' 'nsight*' 'compute-sanitizer' 'extras' 'doc' 'samples')
# Left out of a system in slim images.
slim_excludes=(./usr/share/doc/* ./usr/share/man/* ./usr/share/locale/* ./usr/share/info/* ./var/cache/apt/* ./var/lib/apt/lists/*
               './var/log/*' ./dev/*)

# toolkit_folder: prints where nvcc is installed together with cuDNN, or nothing if it is not.
toolkit_folder() {
  local folder
  folder=$(readlink -f -- "${CUDA_HOME:-/usr/local/cuda}")
  [[ ! -x $folder/bin/nvcc || ! -e $folder/include/cudnn.h ]] || echo "$folder"
}

# why_no_tree TREE: prints why there is no Debian to make a base of, or nothing if there is one.
why_no_tree() {
  [[ -z $1 || -e $1 ]] || { echo "there is no $1" && return; }
  [[ -n $1 ]] || command -v debootstrap >/dev/null || echo "there is no debootstrap (apt-get install debootstrap)"
}

# unpack_tree TREE FOLDER: unpacks a tar file, or makes a new tree with debootstrap for this machine's release if TREE is empty.
unpack_tree() {
  mkdir -p "$2"
  if [[ -n $1 ]]; then
    tar xf "$1" -C "$2"
  else
    # shellcheck source=/dev/null
    debootstrap --variant=minbase "$(. /etc/os-release && echo "${VERSION_CODENAME:?}")" "$2" >"$2.log" 2>&1 ||
      { tail -n 5 "$2.log" >&2 && return 1; }
  fi
}

# import_system FOLDER IMAGE
import_system() {
  local pattern excludes=()
  for pattern in "${slim_excludes[@]}"; do excludes+=(--exclude "$pattern"); done
  tar c -C "$1" "${excludes[@]}" . | docker import --change 'CMD ["bash"]' - "$2" >/dev/null
}

# import_devel FOLDER TOOLKIT IMAGE: imports the system with the toolkit as /usr/local/cuda, with NVIDIA's images' search paths.
import_devel() {
  local pattern excludes=()
  for pattern in "${toolkit_excludes[@]}"; do excludes+=(--exclude "$pattern"); done
  mkdir -p "$1.cuda/usr/local"
  ln -sfn "$2" "$1.cuda/usr/local/cuda"
  tar c --anchored "${slim_excludes[@]/#/--exclude=}" --no-anchored "${excludes[@]}" -C "$1" . -C / ".$2" -C "$1.cuda" ./usr/local/cuda |
    docker import --change 'CMD ["bash"]' --change 'ENV PATH=/usr/local/cuda/bin:/usr/sbin:/usr/bin:/sbin:/bin' \
      --change 'ENV LD_LIBRARY_PATH=/usr/local/cuda/lib64' - "$3" >/dev/null
}
