#!/usr/bin/env bash
# Makes each call of short runs of the real program fail once: calls that concern files, one allocation of each call stack, the calls of
# the emulated GPU's runtime and libraries. Each time the program must end in order: no crash, exit code 1 and one line that names
# what failed (or 0, with the right result, where the call was not needed; 2 for a network's file that cannot be read), no torn file,
# and the command given again succeeds. Where a library ends the process itself, the record counts it by the library's name.
#   scripts/failing_calls.sh [--count N] [--seed S] [--case K] [--kinds files memory gpu] [--scenarios NAME...] [--jobs N] [--seconds N]
#                            [--record [FILE]] [--trainer FILE] [--preload FILE]
# --count      points drawn at random, as many of each kind; 0: all [200]. --seconds: try no further ones after so long
# --scenarios  begin (train), resume, logits (eval), predict, export, promote [all]
# --seed --case  repeat one point, as a failure names it
# --trainer    the program [build/emulated/trainer/trainer]; of a program without the emulated GPU, gpu is skipped. One with AddressSanitizer
#              (build/asan) is tried with --kinds files gpu, and its leaks count as failures: the sanitizer has malloc to itself
# --preload    libfailing_calls.so [in tests/ of the same build]
# Exit code: 0 all held, 1 something did not, 2 wrong usage.
set -euo pipefail
exec python3 "$(dirname -- "$(readlink -f -- "${BASH_SOURCE[0]}")")/trials/failing_calls.py" "$@"
