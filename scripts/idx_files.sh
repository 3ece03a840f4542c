# shellcheck shell=bash disable=SC2154
# Writes IDX files with the first images of MNIST. To be sourced: root is the script's.

# idx FROM TO COUNT SIZE MAGIC SIDES: writes the first COUNT items, of SIZE bytes each, of a gzipped IDX file. Its header is
# MAGIC, their number and SIDES, which labels do not have.
idx() {
  local from=$1 to=$2 count=$3 size=$4 magic=$5 sides=$6 skipped=$((8 + ${#6} / 4))
  # shellcheck disable=SC2059 # the bytes of the header
  {
    printf "$magic\\x00\\x00$(printf '\\x%02x\\x%02x' $((count / 256)) $((count % 256)))$sides"
    head --bytes=$((count * size)) < <(
      gzip --decompress --stdout "$root/data/mnist/$from" 2>/dev/null | tail --bytes="+$((skipped + 1))" 2>/dev/null
    )
  } >"$to"
}

# write_idx_files FOLDER TRAINING TEST: writes the first images of each split, at most 65,535.
write_idx_files() {
  local sides='\x00\x00\x00\x1c\x00\x00\x00\x1c' images='\x00\x00\x08\x03' labels='\x00\x00\x08\x01'
  mkdir -p "$1"
  idx train-images-idx3-ubyte.gz "$1/train-images-idx3-ubyte" "$2" 784 "$images" "$sides"
  idx train-labels-idx1-ubyte.gz "$1/train-labels-idx1-ubyte" "$2" 1 "$labels" ''
  idx t10k-images-idx3-ubyte.gz "$1/t10k-images-idx3-ubyte" "$3" 784 "$images" "$sides"
  idx t10k-labels-idx1-ubyte.gz "$1/t10k-labels-idx1-ubyte" "$3" 1 "$labels" ''
}
