#!/usr/bin/env bash
# Kills commands of the program (kill -9) at random moments, or fills their disk at a random byte, and checks what a user relies on: no torn file
# under its final name, the last good checkpoint opens, the command given again succeeds, a training ends with the weights and metrics of
# one that was not broken (also with another number of threads, and with --bits portable of ranks), and nothing is left behind.
#   scripts/kill_check.sh [--count N] [--seed S] [--case K] [--kinds KIND...] [--full-disk] [--jobs N] [--keep] [--record [FILE]]
#                         [--trainer FILE] [--preload FILE]
# --kinds      train ranks bench promote delete fetch export torch report logits [all]; ranks needs mpirun
# --full-disk  instead of kills: each command on a small file system (root) of which a random number of bytes is free; without root
#              its writes fail after a random number of bytes
# --seed --case  repeat one case, as a failure names it. Half of the kills come at a moment of the clock, which no repetition meets again,
#              the others at a call that concerns the command's files, in the middle of it if it writes (tests/failing_calls)
# --trainer    the program [build/cpu/trainer/trainer]; --preload: libfailing_calls.so [in tests/ of the same build]
# --keep       leave the folder of a case that failed; --jobs: cases at a time [2]
# Exit code: 0 all held, 1 something did not, 2 wrong usage. What is missing is skipped with a message.
set -euo pipefail
exec python3 "$(dirname -- "$(readlink -f -- "${BASH_SOURCE[0]}")")/trials/kills.py" "$@"
