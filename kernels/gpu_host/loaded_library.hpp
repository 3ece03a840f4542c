// A library that is loaded at run time, since a machine may lack it, and its functions.
#pragma once

#include <dlfcn.h>
#include <initializer_list>

namespace trainer {

// Converts to a pointer to a function of the type that it is assigned to; null if the library lacks the function.
struct LibraryFunction {
  void* address = nullptr;

  template <typename Call>
  operator Call*() const {
    return reinterpret_cast<Call*>(address);
  }
};

// The library stays loaded until this is destroyed. Converts to false if the loader does not find it.
class LoadedLibrary {
 public:
  explicit LoadedLibrary(const char* name, int flags = RTLD_LAZY | RTLD_LOCAL)
      : handle_(dlopen(name, flags)) {}
  ~LoadedLibrary() {
    if (handle_ != nullptr) dlclose(handle_);
  }
  LoadedLibrary(const LoadedLibrary&) = delete;
  LoadedLibrary& operator=(const LoadedLibrary&) = delete;

  explicit operator bool() const { return handle_ != nullptr; }
  void* handle() const { return handle_; }

  // Finds the first of the names that the library has, since new versions of a function have new names.
  LibraryFunction find(std::initializer_list<const char*> names) const {
    void* address = nullptr;
    for (const char* name : names)
      if (address == nullptr && handle_ != nullptr) address = dlsym(handle_, name);
    return {address};
  }

 private:
  void* handle_;
};

}  // namespace trainer
