# Finds the paths that documents name as `code`; prints path:line:target of each, and check_style.sh checks that it exists.
# A path begins with a folder of the project and is plain: no *, no {a,b}, no NAME in capitals.

{
  count = split($0, piece, "`")
  for (i = 2; i <= count; i += 2)
    if (piece[i] ~ /^(trainer|kernels|models|data|docs|tests|scripts|benchmarks|cmake|checks)\/[a-z0-9_.\/-]*$/)
      printf "%s:%d:%s\n", FILENAME, FNR, piece[i]
}
