#!/usr/bin/env bash
# Finds out whether the tests would notice a mistake: makes single mutations of the named sources in a copy of the tree, one at a
# time, and runs the tests of their room and then, only if the mutation lives, the whole suite to the first failure.
#   scripts/mutate.sh FILE... [--count N] [--seed S]   N mutations, chosen by the seed [all of them; seed 1]; a FILE may be a folder
#   scripts/mutate.sh FILE... --list                   prints them and runs nothing
#   scripts/mutate.sh --resume FOLDER                  goes on where a run was cut
# --lines A-B       only these lines of the files
# --room-only       leaves out the whole suite, which takes long on a slow machine
# --minutes N       starts no mutation after this time; --resume goes on
# --preset NAME     the preset that is built [emulated]
# --least PERCENT   exit code 0 if at least so many are found [100]
# --record FILE     writes the figures as a record (benchmarks/tables.py)
# What is mutated is in scripts/mutate/mutations.py, which tests belong to a room in scripts/mutate/rooms.py. The copy is
# build/mutants/tree, a worktree with the changes of this one; the state is build/mutants/RUN/. Mutations that cannot
# be seen are named in tests/mutants/equal.txt, with the reason, and do not count. A test that hangs has found the mutation, one that does not
# compile is no mutation. Exit code: 1 if too many mutations live, 2 for wrong usage.
set -euo pipefail

exec python3 "$(dirname -- "$(readlink -f -- "${BASH_SOURCE[0]}")")/mutate/mutate.py" "$@"
