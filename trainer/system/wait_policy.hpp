// How long a thread of the pool spins for the next piece of work before it sleeps. GNU OpenMP's default,
// about a millisecond, turns deadly on a machine that is busy with something else: a thread spins through its
// time slice while the one it waits for is not running, and a training takes a hundred times as long. A short
// spin costs nothing on a quiet machine (benchmarks/NOTES.md).
#pragma once

namespace trainer {

// OpenMP reads its environment before main: sets GOMP_SPINCOUNT and starts the program anew, in the same
// process. Does nothing where the user has chosen (GOMP_SPINCOUNT or OMP_WAIT_POLICY is set) or the program
// cannot be started anew.
void restart_with_short_spins(char** argv);

}  // namespace trainer
