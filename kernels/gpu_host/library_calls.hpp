// The functions of a library that is loaded while the program runs.
#pragma once

#include <dlfcn.h>

namespace trainer {

// *call, unless an earlier name of the same function already gave it; nullptr where the library lacks it.
template <typename Call>
void find_call(void* library, const char* name, Call** call) {
  if (*call == nullptr) *call = reinterpret_cast<Call*>(dlsym(library, name));
}

}  // namespace trainer
