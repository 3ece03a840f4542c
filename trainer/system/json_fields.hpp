// The fields of a record in JSON, listed once for both directions:
//   template <class Fields, class Record> void settings_fields(Fields& fields, Record& settings) {
//     fields("seed", settings.seed);
//   }
// JsonWriter appends them to an object in the order of the list. JsonReader takes them out of a file that another program,
// version or machine wrote: every kind and range is checked, and an error names the file and the field.
#pragma once

#include <cstddef>
#include <cstdint>
#include <fmt/format.h>
#include <limits>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "trainer/system/errors.hpp"

namespace trainer {

enum class NumbersFrom { least, zero, above_zero };  // numbers that a field may hold; least: all of its type

template <class T>
bool holds_whole(const nlohmann::ordered_json& json) {
  if (json.is_number_unsigned()) return std::in_range<T>(json.get<std::uint64_t>());
  return json.is_number_integer() && std::in_range<T>(json.get<std::int64_t>());
}

// A number of a T; one that does not fit, for which get() is undefined, is a std::out_of_range.
template <class T = std::uint64_t>
T whole_number(const nlohmann::ordered_json& json) {
  if (!holds_whole<T>(json)) throw std::out_of_range(json.dump() + " is not a whole number that fits");
  return json.get<T>();
}

class JsonWriter {
 public:
  using Json = nlohmann::ordered_json;

  explicit JsonWriter(Json& json) : json_(json) {}

  template <class T>
  void operator()(const char* key, const T& value, NumbersFrom /*from*/ = NumbersFrom::least) {
    json_[key] = value;
  }
  template <class T>
  void operator()(const char* key, const std::optional<T>& value) {
    if (value) json_[key] = *value;
  }
  // A field that older files do not have; null is left out.
  template <class T>
  void later(const char* key, const T& value) {
    if (const Json& json = value; !json.is_null()) json_[key] = json;
  }
  // A field derived from the others: for readers of the file, not read back.
  template <class Value>
  void derived(const char* key, Value value) {
    json_[key] = value();
  }
  template <class List>
  void object(const char* key, List list) {
    JsonWriter inner(json_[key] = Json::object());
    list(inner);
  }
  template <class T, class List>
  void list(const char* key, const std::vector<T>& values, List list, std::size_t /*least*/ = 0) {
    Json& array = json_[key] = Json::array();
    for (const T& value : values) {
      JsonWriter inner(array.emplace_back(Json::object()));
      list(inner, value);
    }
  }

 private:
  Json& json_;
};

class JsonReader {
 public:
  using Json = nlohmann::ordered_json;

  // `file` names the file in errors, "the run record runs/1/run.json"; `next_step` ends them. Throws FileError if `json` is not
  // an object.
  JsonReader(const Json& json, std::string file, std::string next_step = "")
      : json_(json), file_(std::move(file)), next_step_(std::move(next_step)) {
    if (!json.is_object()) refuse("it is not a JSON object");
  }

  // Throws FileError: "cannot read FILE: REASON; NEXT STEP".
  [[noreturn]] void refuse(const std::string& reason) const {
    throw FileError(
        fmt::format("cannot read {}: {}{}{}", file_, reason, next_step_.empty() ? "" : "; ", next_step_));
  }
  [[nodiscard]] bool has(const char* key) const { return json_.contains(key); }
  [[nodiscard]] const Json& at(const char* key) const {
    const auto found = json_.find(key);
    if (found == json_.end()) refuse(fmt::format("it has no field '{}'", key));
    return *found;
  }

  template <class T>
  void operator()(const char* key, T& value, NumbersFrom from = NumbersFrom::least) const {
    const Json& json = at(key);
    if constexpr (std::is_same_v<T, bool>) {
      require(json.is_boolean(), key, "true or false");
    } else if constexpr (std::is_integral_v<T>) {
      using Limits = std::numeric_limits<T>;
      require(holds_whole<T>(json), key,
              fmt::format("a whole number from {} to {}", Limits::min(), Limits::max()));
    } else if constexpr (std::is_floating_point_v<T>) {
      require(json.is_number(), key, "a number");
    } else if constexpr (std::is_same_v<T, std::string>) {
      require(json.is_string(), key, "a text");
    } else if constexpr (std::is_same_v<T, std::vector<std::string>>) {
      require(json.is_array(), key, "a list of texts");
      for (const Json& word : json) require(word.is_string(), key, "a list of texts");
    } else {
      static_assert(std::is_same_v<T, Json>, "a kind that no record has");
    }
    json.get_to(value);
    if constexpr (std::is_arithmetic_v<T> && !std::is_same_v<T, bool>) {
      if (from == NumbersFrom::zero && value < 0)
        refuse(fmt::format("field '{}' is {}, not a number from 0 on", key, value));
      if (from == NumbersFrom::above_zero && value <= 0)
        refuse(fmt::format("field '{}' is {}, not a number above 0", key, value));
    }
  }
  template <class T>
  void operator()(const char* key, std::optional<T>& value) const {
    if (has(key)) (*this)(key, value.emplace());
  }
  template <class T>
  void later(const char* key, T& value) const {
    if (has(key)) (*this)(key, value);
  }
  template <class Value>
  void derived(const char* /*key*/, Value /*value*/) const {}
  template <class List>
  void object(const char* key, List list) const {
    require(at(key).is_object(), key, "an object");
    JsonReader inner(at(key), file_, next_step_);
    list(inner);
  }
  template <class T, class List>
  void list(const char* key, std::vector<T>& values, List list, std::size_t least = 0) const {
    require(at(key).is_array() && at(key).size() >= least, key, fmt::format("a list of {} or more", least));
    for (const Json& json : at(key)) {
      require(json.is_object(), key, "a list of objects");
      JsonReader inner(json, file_, next_step_);
      list(inner, values.emplace_back());
    }
  }

  // Refuses a value that is not `what`.
  void require(bool good, const char* key, const std::string& what) const {
    if (!good) refuse(fmt::format("field '{}' is not {}", key, what));
  }

 private:
  const Json& json_;
  std::string file_, next_step_;
};

}  // namespace trainer
