// The end of the program where memory is refused to what may not throw: a destructor, a thread, an initialiser before main.
#pragma once

namespace trainer {

// From now on such an end is one line, "error: out of memory", and exit status 1, and any other std::terminate an abort. A program that
// calls it has it from the start, before all other initialisers.
void expect_refused_memory();

}  // namespace trainer
