#include "tests/emulator/symbols.hpp"

#include <cstdint>
#include <cstdlib>
#include <cxxabi.h>
#include <elf.h>
#include <fstream>
#include <iterator>
#include <link.h>
#include <map>
#include <memory>
#include <span>
#include <string_view>
#include <vector>

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
std::span<const T> table(const std::vector<char>& file, std::uint64_t offset, std::uint64_t bytes) {
  if (offset > file.size() || bytes > file.size() - offset) return {};
  return {reinterpret_cast<const T*>(file.data() + offset), bytes / sizeof(T)};
}

// The program's own load address: what its symbols' values count from.
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

std::map<std::uintptr_t, std::string> read_symbols() {
  std::ifstream stream("/proc/self/exe", std::ios::binary);
  const std::vector<char> file{std::istreambuf_iterator<char>(stream), std::istreambuf_iterator<char>()};
  std::map<std::uintptr_t, std::string> symbols;
  const auto headers = table<ElfW(Ehdr)>(file, 0, sizeof(ElfW(Ehdr)));
  if (headers.empty()) return symbols;
  const auto sections =
      table<ElfW(Shdr)>(file, headers[0].e_shoff, std::uint64_t{headers[0].e_shnum} * sizeof(ElfW(Shdr)));
  const std::uintptr_t base = load_address();
  for (const ElfW(Shdr) & section : sections) {
    if (section.sh_type != SHT_SYMTAB || section.sh_link >= sections.size()) continue;
    const ElfW(Shdr)& strings = sections[section.sh_link];
    const auto text = table<char>(file, strings.sh_offset, strings.sh_size);
    for (const ElfW(Sym) & symbol : table<ElfW(Sym)>(file, section.sh_offset, section.sh_size)) {
      const bool function = (symbol.st_info & 0xFU) == STT_FUNC;
      if (function && symbol.st_name < text.size()) symbols[base + symbol.st_value] = &text[symbol.st_name];
    }
  }
  return symbols;
}

}  // namespace

std::string kernel_name(const void* symbol) {
  static const std::map<std::uintptr_t, std::string> symbols = read_symbols();
  static std::map<const void*, std::string> names;
  const auto known = names.find(symbol);
  if (known != names.end()) return known->second;
  const auto found = symbols.find(reinterpret_cast<std::uintptr_t>(symbol));
  return names[symbol] = found == symbols.end() ? "kernel" : demangled(found->second.c_str());
}

}  // namespace emulator
