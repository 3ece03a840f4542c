// refuse: throws a DataError whose message begins with the path it is about.
#pragma once

#include <filesystem>
#include <fmt/format.h>
#include <utility>

#include "data/dataset.hpp"

namespace trainer::data {

template <class... Values>
[[noreturn]] void refuse(const std::filesystem::path& path, fmt::format_string<Values...> text,
                         Values&&... values) {
  throw DataError(fmt::format("{}: {}", path.string(), fmt::format(text, std::forward<Values>(values)...)));
}

}  // namespace trainer::data
