// JSON has no NaN: a loss that is not finite is null.
#include "trainer/store/epoch_record.hpp"

#include <cmath>
#include <fmt/format.h>
#include <limits>

#include "trainer/system/files.hpp"
#include "trainer/system/json_fields.hpp"

namespace trainer {

using nlohmann::ordered_json;

namespace {

constexpr std::uint64_t kMostMetricsBytes = std::uint64_t{1} << 30;

void add_score(ordered_json& json, const std::string& split, const Score& score) {
  json[split + "_accuracy"] = score.accuracy;
  json[split + "_accuracy_standard_error"] = score.standard_error();
  json[split + "_loss"] = score.loss;
}

void read_loss(const JsonReader& fields, const char* key, double& loss) {
  if (fields.at(key).is_null())
    loss = std::numeric_limits<double>::quiet_NaN();
  else
    fields(key, loss);
}

EpochRecord epoch_from_json(const JsonReader& fields, const ScoredImages& images) {
  EpochRecord record;
  fields("epoch", record.epoch);
  fields("step", record.step);
  fields("images", record.images);
  read_loss(fields, "train_loss", record.train_loss);
  fields.later("train_accuracy", record.train_accuracy);
  record.test.images = images.test;
  fields("test_accuracy", record.test.accuracy);
  read_loss(fields, "test_loss", record.test.loss);
  if (fields.has("validation_accuracy")) {
    Score& validation = record.validation.emplace();
    validation.images = images.validation;
    fields("validation_accuracy", validation.accuracy);
    read_loss(fields, "validation_loss", validation.loss);
  }
  fields.later("learning_rate", record.learning_rate);
  fields("seconds", record.seconds);
  fields.later("evaluation_seconds", record.evaluation_seconds);
  return record;
}

}  // namespace

double Score::standard_error() const {
  return images > 0 ? std::sqrt(accuracy * (1 - accuracy) / static_cast<double>(images)) : 0;
}

ordered_json epoch_json(const EpochRecord& record) {
  ordered_json json{{"epoch", record.epoch},
                    {"step", record.step},
                    {"images", record.images},
                    {"train_loss", record.train_loss},
                    {"train_accuracy", record.train_accuracy}};
  add_score(json, "test", record.test);
  if (record.validation) add_score(json, "validation", *record.validation);
  json["learning_rate"] = record.learning_rate;
  json["seconds"] = record.seconds;
  json["evaluation_seconds"] = record.evaluation_seconds;
  json["images_per_second"] = record.images_per_second();
  return json;
}

std::vector<EpochRecord> read_epochs(const std::filesystem::path& metrics, const ScoredImages& images) {
  std::vector<EpochRecord> records;
  std::error_code ignored;
  if (!std::filesystem::exists(metrics, ignored)) return records;
  for (const ordered_json& line : read_json_lines(metrics, kMostMetricsBytes)) {
    const JsonReader fields(line, fmt::format("{}:{}", metrics.string(), records.size() + 1));
    records.push_back(epoch_from_json(fields, images));
  }
  return records;
}

}  // namespace trainer
