#include "trainer/runs/run_list.hpp"

#include <algorithm>
#include <cmath>
#include <fmt/format.h>
#include <system_error>

#include "models/words.hpp"
#include "trainer/console/json_lookup.hpp"
#include "trainer/console/text_table.hpp"
#include "trainer/runs/run_fields.hpp"
#include "trainer/store/run_folder.hpp"
#include "trainer/system/files.hpp"

namespace trainer {

namespace fs = std::filesystem;
using nlohmann::ordered_json;

namespace {

void erase_all(std::string& text, std::string_view part) {
  for (std::size_t at = text.find(part); at != std::string::npos; at = text.find(part))
    text.erase(at, part.size());
}

// The message without the folder's path, which the note names once.
std::string reason_in(const fs::path& folder, std::string message) {
  erase_all(message, folder.string() + "/");
  return message;
}

void add_run(RunList& list, const fs::path& folder) {
  std::error_code ignored;
  const std::string name = folder.filename().string();
  if (!fs::exists(folder / kRunRecordName, ignored)) {
    list.unreadable.push_back({name, fmt::format("no {}", kRunRecordName)});
    return;
  }
  try {
    list.runs.push_back(read_known_run(folder));
  } catch (const FileError& error) {
    list.unreadable.push_back({name, reason_in(folder, error.what())});
  }
}

template <class... Arguments>
std::string text_of(const RunValue& value, fmt::format_string<Arguments...> format, double factor = 1) {
  const auto* number = std::get_if<double>(&value);
  return number == nullptr ? "-" : fmt::format(format, *number * factor);
}

std::string text_of(const RunValue& value) {
  if (const auto* text = std::get_if<std::string>(&value)) return *text;
  return text_of<double>(value, "{}");
}

RunValue value_of(const KnownRun& run, std::string_view field) {
  return find_field(field)->value(run);
}

// Whole numbers without a decimal point, others with all their digits. A seed may be too large for a double.
ordered_json json_of(const RunField& field, const KnownRun& run) {
  constexpr double kMostExact = 9007199254740992;  // 2^53
  if (field.name == "seed") return run.record.seed;
  const RunValue value = field.value(run);
  if (const auto* text = std::get_if<std::string>(&value)) return *text;
  const auto* number = std::get_if<double>(&value);
  if (number == nullptr) return nullptr;
  const bool whole = *number == std::floor(*number) && std::abs(*number) <= kMostExact;
  return whole ? ordered_json(static_cast<std::int64_t>(*number)) : ordered_json(*number);
}

std::string csv_cell(const ordered_json& value) {
  if (value.is_null()) return "";
  if (!value.is_string()) return value.dump();
  const auto& text = value.get_ref<const std::string&>();
  if (text.find_first_of(",\"\r\n") == std::string::npos) return text;
  std::string quoted = "\"";
  for (const char c : text) quoted += c == '"' ? "\"\"" : std::string(1, c);
  return quoted + "\"";
}

}  // namespace

RunList list_runs(const fs::path& folder) {
  RunList list;
  std::error_code error;
  if (!fs::exists(folder, error)) return list;
  for (fs::directory_iterator entry(folder, error), end; !error && entry != end; entry.increment(error)) {
    std::error_code ignored;
    const bool hidden = entry->path().filename().string().starts_with('.');
    if (!hidden && entry->is_directory(ignored)) add_run(list, entry->path());
  }
  if (error)
    throw FileError(fmt::format("cannot read the runs folder {}: {}", folder.string(), error.message()));
  std::ranges::sort(list.runs, [](const KnownRun& a, const KnownRun& b) {
    return a.record.started != b.record.started ? a.record.started > b.record.started : a.id > b.id;
  });
  std::ranges::sort(list.unreadable, {}, &UnreadableRun::name);
  return list;
}

std::string unreadable_note(const RunList& list, const fs::path& folder) {
  constexpr std::size_t kMostNamed = 8;
  const std::size_t count = list.unreadable.size();
  if (count == 0) return "";
  std::string text =
      fmt::format("note: {} in {} not listed: ", count == 1 ? "1 folder" : fmt::format("{} folders", count),
                  folder.string() + (count == 1 ? " is" : " are"));
  for (std::size_t i = 0; i < std::min(count, kMostNamed); ++i) {
    const UnreadableRun& run = list.unreadable[i];
    text += fmt::format("{}{} ({})", i == 0 ? "" : ", ", run.name, run.reason);
  }
  if (count > kMostNamed) text += fmt::format(" and {} more", count - kMostNamed);
  return printable(text);
}

std::string short_device(std::string name) {
  for (const char* part : {"CPU: ", "(R)", "(TM)", "NVIDIA ", "Intel ", " CPU", " Processor"})
    erase_all(name, part);
  return name.ends_with(" thread") || name.ends_with(" threads") ? name.substr(0, name.rfind(", ")) : name;
}

std::string runs_table(const std::vector<KnownRun>& runs) {
  TextTable table({{"id"},
                   {.title = "model", .least = 5},
                   {.title = "device", .least = 8},
                   {"target"},
                   {"accuracy", TableColumn::Align::right},
                   {"epochs", TableColumn::Align::right},
                   {"s/epoch", TableColumn::Align::right},
                   {"status"}});
  for (const KnownRun& run : runs) {
    table.add({run.id, run.record.model, short_device(text_of(value_of(run, "device"))),
               target_name(run.record), text_of<double>(value_of(run, "accuracy"), "{:.2f} %", 100),
               fmt::format("{}", run.epochs.size()),
               text_of<double>(value_of(run, "epoch_seconds"), "{:#.4g}"), status_word(run)});
  }
  return table.text();
}

ordered_json runs_json(const std::vector<KnownRun>& runs) {
  auto json = ordered_json::array();
  for (const KnownRun& run : runs) {
    ordered_json row;
    for (const RunField& field : run_fields()) row[std::string(field.name)] = json_of(field, run);
    row["folder"] = run.folder.string();
    json.push_back(std::move(row));
  }
  return json;
}

std::string runs_csv(const std::vector<KnownRun>& runs) {
  std::string text = fmt::format("{}\n", fmt::join(field_names(), ","));
  for (const KnownRun& run : runs) {
    std::string line;
    for (const RunField& field : run_fields()) {
      if (field.name != run_fields().front().name) line += ',';
      line += csv_cell(json_of(field, run));
    }
    text += line + "\n";
  }
  return text;
}

}  // namespace trainer
