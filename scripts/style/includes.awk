# Checks the include directions of CONTRIBUTING.md; prints path:line: why. Run from the repository's root, on its sources.
#   trainer -> models, data, kernels     models -> kernels     data -> kernels/shape.hpp only
#   kernels/{cpu,cuda,no_cuda} -> kernels, never each other; kernels is kernels/*.hpp and kernels/math/
#   tests -> everything; nothing -> tests
# Within trainer/ and kernels/ a room (a folder) includes the rooms that rooms.txt names for it, so that there is no cycle.
# A library is included only where it does its job: one `only` line below for each. Called with -v rooms=FILE.

function layer(path,  part) {
  if (path ~ /^kernels\/(cpu|cuda|no_cuda)\//) {
    split(path, part, "/")
    return "kernels/" part[2]
  }
  sub(/\/.*/, "", path)
  return path
}

# The room of a file: a folder, or the file itself if rooms.txt has a row for it.
function room(path) {
  if (path in may) return path
  sub(/\/[^\/]*$/, "", path)
  return path == "kernels/math" ? "kernels" : path
}

function refuse(why) { printf "%s:%d: %s\n", FILENAME, FNR, why }

# Whether the folder `from` may include the folder `to`.
function folder_may(to) {
  if (to == from || from == "tests") return 1
  if (to == "kernels") return from ~ /^(trainer|models|kernels|benchmarks)/
  return to ~ /^(models|data)$/ && from ~ /^(trainer|benchmarks)$/
}

# Whether the table lets a file of the room `own` include one of the room `other`.
function room_may(own, other) {
  return own == other || !(own in may) || !(other in may) || other !~ /^(kernels|trainer)/ || index(" " may[own] " ", " " other " ") > 0
}

function quoted(target) {
  if (target !~ /\//) refuse("\"" target "\": includes are written from the root of the repository")
  else if (layer(target) == "tests" && from != "tests") refuse("only tests/ includes " target)
  else if (!folder_may(layer(target)) && !(from == "data" && target == "kernels/shape.hpp")) refuse(from "/ may not include " target)
  else if (!room_may(room(FILENAME), room(target)))
    refuse("the room " room(FILENAME) " may not include " target " (scripts/style/rooms.txt)")
}

function only(target, library, where) {
  if (target ~ library && FILENAME !~ where) {
    gsub(/[\^$\\]/, "", where)
    gsub(/[()|]/, " ", where)
    refuse("<" target "> is for " where " only")
  }
}

function angled(target) {
  only(target, "^(stb/)?stb_image[.]h$", "^data/image.cpp$")
  if (from == "tests") return
  only(target, "^(stb/)?stb_", "^data/image.cpp$")
  only(target, "^openssl/", "^trainer/(system/sha256|report/report_network).cpp$")
  only(target, "^libdeflate", "^data/")
  only(target, "^(oneapi/)?dnnl", "^kernels/cpu/")
  only(target, "^(cuda|cudnn|cublas|nvrtc|nvml)", "^kernels/")
  only(target, "^CLI/", "^trainer/")
  only(target, "^(yaml-cpp|nlohmann)/", "^(models/|trainer/|benchmarks/|failures/)")
  only(target, "^(gtest|gmock)/", "^tests/")
}

BEGIN {
  while ((getline row < rooms) > 0) {
    if (row ~ /^#/ || split(row, cell, / *[|] */) < 3) continue
    may[cell[1]] = cell[3]
  }
}

FNR == 1 { from = layer(FILENAME) }

/^[ \t]*#[ \t]*(if|elif)/ && /CUDA|NVCC/ && from !~ /^kernels/ && FILENAME !~ /^tests\/emulator\// {
  refuse("a condition on CUDA outside kernels/; CMake links kernels/cuda or kernels/no_cuda instead")
}

/^[ \t]*#[ \t]*include[ \t]*"/ { split($0, piece, "\""); quoted(piece[2]) }
/^[ \t]*#[ \t]*include[ \t]*</ { split($0, piece, /[<>]/); angled(piece[2]) }
