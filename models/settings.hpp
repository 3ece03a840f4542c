// A YAML map as a table with a row for each setting: its key, how it is read into a member of T, how it is written as JSON.
#pragma once

#include <fmt/format.h>
#include <functional>
#include <nlohmann/json.hpp>
#include <string>
#include <type_traits>
#include <vector>

#include "models/yaml_reader.hpp"

namespace trainer {

template <typename T>
struct Setting {
  const char* key;
  std::function<void(const MapReader& map, T& to)> read;           // called if the map has the key
  std::function<nlohmann::ordered_json(const T& from)> json = {};  // null leaves the key out
  bool required = false;
};

template <typename T>
using Settings = std::vector<Setting<T>>;

// The shortest decimal of a float, so that 0.01F reads 0.01 and not 0.009999999776482582.
inline double plain(float value) {
  return std::stod(fmt::format("{}", value));
}

// A number within `range`; without a range, true or false.
template <typename T, typename Member, typename... Range>
Setting<T> setting(const char* key, Member T::*member, Range... range) {
  return {key, [=](const MapReader& map, T& to) { map.read(key, to.*member, range...); },
          [=](const T& from) -> nlohmann::ordered_json {
            if constexpr (std::is_same_v<Member, float>) return plain(from.*member);
            return from.*member;
          }};
}

// One of `words`, whose indices are the values of an enumeration, or false and true.
template <typename T, typename Member>
Setting<T> word_setting(const char* key, Member T::*member, const Words& words) {
  return {key,
          [=](const MapReader& map, T& to) {
            to.*member = static_cast<Member>(read_word(map.require(key), map.name_of(key), words));
          },
          [=](const T& from) { return words.at(static_cast<std::size_t>(from.*member)); }};
}

template <typename T>
Setting<T> required(Setting<T> setting) {
  setting.required = true;
  return setting;
}

template <typename T>
Words keys_of(const Settings<T>& settings) {
  Words keys;
  for (const Setting<T>& setting : settings) keys.emplace_back(setting.key);
  return keys;
}

// Reads into `to` from a map that was made with keys_of(settings). A required key that is missing is reported first.
template <typename T>
void read_settings(const MapReader& map, const Settings<T>& settings, T& to) {
  for (const Setting<T>& setting : settings) {
    if (setting.required) map.require(setting.key);
  }
  for (const Setting<T>& setting : settings) {
    if (map.find(setting.key) != nullptr) setting.read(map, to);
  }
}

template <typename T>
nlohmann::ordered_json settings_json(const Settings<T>& settings, const T& from) {
  auto json = nlohmann::ordered_json::object();
  for (const Setting<T>& setting : settings) {
    if (auto value = setting.json(from); !value.is_null()) json[setting.key] = std::move(value);
  }
  return json;
}

}  // namespace trainer
