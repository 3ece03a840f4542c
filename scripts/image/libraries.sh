# shellcheck shell=bash
# Which libraries the image needs: of CUDA those below, copied; of the distribution those that the loader finds, as
# packages. To be sourced.
# ldd does not show cuBLASLt, which the program loads by name, nor cuDNN's parts: libcudnn.so loads them by name. What loads what was traced (strace) while cuDNN 9.19 planned
# every convolution of every network for compute capabilities 7.5 to 12.0 in four precisions, without a device:
#   loaded in each             graph, heuristic, engines_precompiled, engines_runtime_compiled
#   in none                    adv, ops, cnn, cublas. ops and cnn (44 MB) are kept: no trace of a run on a GPU is there yet,
#                              and cuDNN's parts are meant to be together; adv (109 MB: attention, recurrent nets) is not
#   looked for, not needed     NVRTC (114 MB). Engines that are compiled at run time want it, for filter gradients in 16 bits;
#                              without it each of the 2,262 plans is there all the same, by the same engine.
#                              (The stand-in for the driver loads none of their code, so what they gain on a GPU is open.)

# Beginnings of the names of what cuDNN loads by name.
cudnn_parts=(libcudnn_graph libcudnn_ops libcudnn_cnn libcudnn_heuristic libcudnn_engines_precompiled
             libcudnn_engines_runtime_compiled)
# What the program is linked with that belongs to CUDA.
cuda_libraries='^lib(cudart|cudnn.*|nv.*)[.]so'

# linked_libraries FILE...: "NAME PATH" of all that the loader loads for these.
linked_libraries() {
  ldd "$@" | sed -nE 's/^\t([^ ]+) => (\/[^ ]+) .*/\1 \2/p' | sort -u
}

# missing_libraries FILE...: what the loader does not find, one a line.
missing_libraries() { ldd "$@" | awk '/=> not found/ { print $1 }' | sort -u; }

# copy_library PATH FOLDER: the file under its full name, and a link by the name that the loader looks for.
copy_library() {
  local file name
  file=$(readlink -f -- "$1")
  name=$(readelf --dynamic "$file" | sed -nE 's/.*\(SONAME\).*\[(.*)\]/\1/p')
  cp -- "$file" "$2/"
  [[ -e $2/$name ]] || ln -s -- "$(basename -- "$file")" "$2/$name"
}

# collect_cuda PROGRAM FOLDER NVRTC: CUDA's libraries for the program, found beside those that it is linked with.
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

# collect_nvrtc FROM FOLDER MAJOR: NVRTC of CUDA MAJOR and the library that it loads.
collect_nvrtc() {
  local path
  for path in "$1/libnvrtc.so.$3" "$1"/libnvrtc-builtins.so."$3".*; do copy_library "$path" "$2"; done
}

# package_of PATH: the package that a library is from; /lib and /usr/lib are one folder, and dpkg knows either name.
package_of() {
  local file
  file=$(readlink -f -- "$1")
  { dpkg-query --search "$1" || dpkg-query --search "$file" || dpkg-query --search "/usr$1" ||
    dpkg-query --search "${file#/usr}"; } 2>/dev/null | sed 's/:.*//' | head -n 1
}

# library_packages FOLDER: the packages of the libraries that the programs and libraries under FOLDER load, one a line.
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
