# shellcheck shell=bash
# The libraries that the image needs: from CUDA those below, as copies; from the distribution those that the loader finds, as
# packages. To be sourced.
# ldd shows neither cuBLASLt, which the program loads by name, nor cuDNN's parts, which libcudnn.so loads by name. The loads were
# traced (strace) while cuDNN 9.19 planned all convolutions of all networks for 7.5 to 12.0 in four precisions, without a device:
#   loaded in each             graph, heuristic, engines_precompiled, engines_runtime_compiled
#   in none                    adv, ops, cnn, cublas. ops and cnn (44 MB) are kept, since there is no trace of a run on a GPU yet
#                              and cuDNN's parts belong together; adv (109 MB: attention, recurrent nets) is left out
#   looked for, not needed     NVRTC (114 MB). Engines that are compiled at run time use it, for filter gradients in 16 bits;
#                              without it each of the 2,262 plans still exists, with the same engine.
#                              (The driver stub loads none of their code, so their gain on a GPU is unknown.)

# Prefixes of the libraries that cuDNN loads by name.
cudnn_parts=(libcudnn_graph libcudnn_ops libcudnn_cnn libcudnn_heuristic libcudnn_engines_precompiled
             libcudnn_engines_runtime_compiled)
# The CUDA libraries that the program is linked with.
cuda_libraries='^lib(cudart|cudnn.*|nv.*)[.]so'

# linked_libraries FILE...: prints "NAME PATH" for every library that the loader loads for these.
linked_libraries() {
  ldd "$@" | sed -nE 's/^\t([^ ]+) => (\/[^ ]+) .*/\1 \2/p' | sort -u
}

# missing_libraries FILE...: prints the libraries that the loader does not find, one per line.
missing_libraries() { ldd "$@" | awk '/=> not found/ { print $1 }' | sort -u; }

# copy_library PATH FOLDER: copies the file under its full name, and links it by the name that the loader looks for.
copy_library() {
  local file name
  file=$(readlink -f -- "$1")
  name=$(readelf --dynamic "$file" | sed -nE 's/.*\(SONAME\).*\[(.*)\]/\1/p')
  cp -- "$file" "$2/"
  [[ -e $2/$name ]] || ln -s -- "$(basename -- "$file")" "$2/$name"
}

# collect_cuda PROGRAM FOLDER NVRTC: copies CUDA's libraries for the program, found beside those that it is linked with.
collect_cuda() {
  local program=$1 folder=$2 with_nvrtc=$3 name path part
  mkdir -p "$folder"
  while read -r name path; do
    [[ $name =~ $cuda_libraries ]] || continue
    copy_library "$path" "$folder"
    [[ $name != libcudnn.so.9 ]] || for part in "${cudnn_parts[@]}"; do copy_library "$(dirname -- "$path")/$part.so.9" "$folder"; done
    [[ $name != libcudart.so.* ]] || copy_library "$(dirname -- "$path")/libcublasLt.so.${name##*.so.}" "$folder"
    [[ $name != libcudart.so.* || $with_nvrtc == OFF ]] || collect_nvrtc "$(dirname -- "$path")" "$folder" "${name##*.so.}"
  done < <(linked_libraries "$program")
  chmod -R a+rX "$folder"
}

# collect_nvrtc FROM FOLDER MAJOR: copies NVRTC of CUDA MAJOR and the library that it loads.
collect_nvrtc() {
  local path
  for path in "$1/libnvrtc.so.$3" "$1"/libnvrtc-builtins.so."$3".*; do copy_library "$path" "$2"; done
}

# collect_nccl FOLDER: copies NCCL, which ranks on GPUs load by name.
collect_nccl() {
  local path
  path=$(ldconfig -p | awk '$1 == "libnccl.so.2" && !found++ { print $NF }')
  [[ -n $path ]] || { echo "error: RANKS=ON needs libnccl.so.2 in the devel image (libnccl2)" >&2 && return 1; }
  copy_library "$path" "$1"
}

# package_of PATH: prints the package of a library; /lib and /usr/lib are one folder, and dpkg knows either name.
package_of() {
  local file
  file=$(readlink -f -- "$1")
  { dpkg-query --search "$1" || dpkg-query --search "$file" || dpkg-query --search "/usr$1" ||
    dpkg-query --search "${file#/usr}"; } 2>/dev/null | sed -n '1s/:.*//p'
}

# library_packages FOLDER: prints the packages of the libraries that the files under FOLDER load, one per line.
library_packages() {
  local files missing name path package
  mapfile -t files < <(find "$1" -type f \( -name '*.so*' -o -path '*/bin/*' \))
  missing=$(LD_LIBRARY_PATH=$1/lib missing_libraries "${files[@]}")
  [[ -z $missing ]] || { printf 'error: not found for the image: %s\n' "$missing" >&2 && return 1; }
  LD_LIBRARY_PATH=$1/lib linked_libraries "${files[@]}" | while read -r name path; do
    [[ $path != "$1"/* ]] || continue
    package=$(package_of "$path")
    [[ -n $package ]] || { printf 'error: %s (%s) is of no package\n' "$name" "$path" >&2 && return 1; }
    printf '%s\n' "$package"
  done | sort -u
}
