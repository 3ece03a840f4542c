#include "tests/emulator/symbols.hpp"

#include <cstdint>
#include <cstdlib>
#include <cxxabi.h>
#include <elf.h>
#include <fcntl.h>
#include <link.h>
#include <map>
#include <memory>
#include <span>
#include <string_view>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

namespace emulator {
namespace {

// "void (anonymous namespace)::reduce<float, 4>(float*)" -> "reduce"
std::string bare(std::string_view name) {
  int depth = 0;
  std::size_t begin = 0;
  for (std::size_t i = 0; i < name.size(); ++i) {
    const std::string_view rest = name.substr(i);
    if (rest.starts_with("(anonymous namespace)::")) {
      i += 22;
      if (depth == 0) begin = i + 1;
    } else if (rest.starts_with('<') || (rest.starts_with('(') && depth > 0)) {
      if (depth++ == 0 && rest.starts_with('<')) return std::string(name.substr(begin, i - begin));
    } else if (rest.starts_with('(')) {
      return std::string(name.substr(begin, i - begin));
    } else if (depth == 0 && (rest.starts_with("::") || rest.starts_with(' '))) {
      i += rest.starts_with(' ') ? 0 : 1;
      begin = i + 1;
    }
  }
  return std::string(name.substr(begin));
}

std::string demangled(const char* symbol) {
  int status = 0;
  const std::unique_ptr<char, void (*)(void*)> text(abi::__cxa_demangle(symbol, nullptr, nullptr, &status),
                                                    std::free);
  return bare(status == 0 ? text.get() : symbol);
}

template <typename T>
std::span<const T> table(std::span<const char> file, std::uint64_t offset, std::uint64_t bytes) {
  if (offset > file.size() || bytes > file.size() - offset) return {};
  return {reinterpret_cast<const T*>(file.data() + offset), bytes / sizeof(T)};
}

// The program's own file, mapped until the program ends: with sanitizers it has hundreds of megabytes, few of which are
// read.
std::span<const char> own_file() {
  const int file = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
  struct stat status {};
  if (file < 0 || fstat(file, &status) != 0) return {};
  const auto bytes = static_cast<std::size_t>(status.st_size);
  const void* mapping = mmap(nullptr, bytes, PROT_READ, MAP_PRIVATE, file, 0);
  close(file);
  if (mapping == MAP_FAILED) return {};
  return {static_cast<const char*>(mapping), bytes};
}

// The program's load address, which its symbols' values are relative to.
std::uintptr_t load_address() {
  std::uintptr_t address = 0;
  dl_iterate_phdr(
      [](dl_phdr_info* info, std::size_t, void* result) {
        *static_cast<std::uintptr_t*>(result) = info->dlpi_addr;
        return 1;  // the program comes first
      },
      &address);
  return address;
}

struct Symbols {
  std::span<const ElfW(Sym)> all;
  std::span<const char> names;
};

Symbols read_symbols() {
  const std::span<const char> file = own_file();
  const auto headers = table<ElfW(Ehdr)>(file, 0, sizeof(ElfW(Ehdr)));
  if (headers.empty()) return {};
  const auto sections =
      table<ElfW(Shdr)>(file, headers[0].e_shoff, std::uint64_t{headers[0].e_shnum} * sizeof(ElfW(Shdr)));
  for (const ElfW(Shdr) & section : sections) {
    if (section.sh_type != SHT_SYMTAB || section.sh_link >= sections.size()) continue;
    const ElfW(Shdr)& strings = sections[section.sh_link];
    return {table<ElfW(Sym)>(file, section.sh_offset, section.sh_size),
            table<char>(file, strings.sh_offset, strings.sh_size)};
  }
  return {};
}

std::string find_name(const void* symbol) {
  static const Symbols symbols = read_symbols();
  const std::uintptr_t value = reinterpret_cast<std::uintptr_t>(symbol) - load_address();
  for (const ElfW(Sym) & one : symbols.all) {
    const bool function = (one.st_info & 0xFU) == STT_FUNC;
    if (function && one.st_value == value && one.st_name < symbols.names.size())
      return demangled(&symbols.names[one.st_name]);
  }
  return "kernel";
}

}  // namespace

std::string kernel_name(const void* symbol) {
  static std::map<const void*, std::string> names;
  const auto [known, is_new] = names.try_emplace(symbol);
  if (is_new) known->second = find_name(symbol);
  return known->second;
}

}  // namespace emulator
