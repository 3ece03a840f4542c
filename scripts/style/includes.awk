# The include directions of CONTRIBUTING.md; prints path:line: why. Run from the repository's root, on its sources.
#   trainer -> models, data, kernels     models -> kernels     data -> nothing of the project
#   kernels/{cpu,cuda,no_cuda} -> kernels, never each other; kernels is kernels/*.hpp and kernels/math/
#   tests -> everything; nothing -> tests
# A library is included where its one job is: a `only` line below each.

function layer(path,  part) {
  if (path ~ /^kernels\/(cpu|cuda|no_cuda)\//) {
    split(path, part, "/")
    return "kernels/" part[2]
  }
  sub(/\/.*/, "", path)
  return path
}

function refuse(why) { printf "%s:%d: %s\n", FILENAME, FNR, why }

function quoted(target,  to) {
  to = layer(target)
  if (target !~ /\//) refuse("\"" target "\": includes are written from the root of the repository")
  else if (to == from || from == "tests") return
  else if (to == "tests") refuse("only tests/ includes " target)
  else if (to == "kernels" && from ~ /^(trainer|models|kernels|benchmarks)/) return
  else if (to ~ /^(models|data)$/ && from ~ /^(trainer|benchmarks)$/) return
  else refuse(from "/ may not include " target)
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
  only(target, "^(stb/)?stb_", "^data/(image|png).cpp$")
  only(target, "^openssl/", "^trainer/sha256.cpp$")
  only(target, "^libdeflate", "^data/")
  only(target, "^(oneapi/)?dnnl", "^kernels/cpu/")
  only(target, "^(cuda|cudnn|cublas|nvrtc|nvml)", "^kernels/")
  only(target, "^CLI/", "^trainer/")
  only(target, "^(yaml-cpp|nlohmann)/", "^(models/|trainer/|benchmarks/)")
  only(target, "^(gtest|gmock)/", "^tests/")
}

FNR == 1 { from = layer(FILENAME) }

/^[ \t]*#[ \t]*(if|elif)/ && /CUDA|NVCC/ && from !~ /^kernels/ && FILENAME !~ /^tests\/emulator\// {
  refuse("a condition on CUDA outside kernels/; CMake links kernels/cuda or kernels/no_cuda instead")
}

/^[ \t]*#[ \t]*include[ \t]*"/ { split($0, piece, "\""); quoted(piece[2]) }
/^[ \t]*#[ \t]*include[ \t]*</ { split($0, piece, /[<>]/); angled(piece[2]) }
