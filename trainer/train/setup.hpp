// Everything that a training or a test needs before a device is touched: the settings, the data set and the use of its images,
// the network's plan, the input scaling and the length of the run.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>

#include "data/dataset.hpp"
#include "kernels/device_info.hpp"
#include "models/network.hpp"

namespace trainer {

// The options that decide, with the network and its recipe, which weights a training ends with. They are separate from those that
// do not (folders, output), because every checkpoint stores them and a resumed run takes them from there.
struct TrainSettings {
  std::uint64_t seed = 1;
  std::optional<int> epochs;
  std::optional<int> batch;
  std::optional<double> rate;            // --lr
  std::optional<std::string> optimizer;  // by name, with its usual constants; the schedule stays
  std::optional<std::uint32_t> limit_train;
  std::optional<std::uint32_t> validation;
  std::optional<std::string> precision;  // of products [the recipe's fastest, else fp32]
  std::string engine = "auto";           // --engine: whose layers a GPU runs
  std::optional<std::string> bits;       // "portable": the same on every machine
  std::optional<int> classes;
  int channels = 1;
  bool skip_bad_images = false;
  bool transpose = false;
  std::optional<std::string>
      subset;  // how limit_train and validation choose: kSpread; empty: the first, the last
  std::optional<std::string> from;         // --from: the file that the first weights were read from
  std::optional<std::string> from_sha256;  // its content hash
  std::optional<bool> new_head;            // without its last layer
  // These are of several ranks (kernels/communicator.hpp):
  std::optional<int> gradient_bits;                // --gradient-bits: 16 or 1 [32]
  std::optional<std::uint64_t> warm_start_images;  // with 32 bits before
  std::optional<bool> sync_batchnorm;
};
inline constexpr const char* kSpread = "spread evenly over the labels, by the seed";

data::LoadOptions load_options(const TrainSettings& settings);
nlohmann::ordered_json to_json(const TrainSettings& settings);
// `file` names the source of the settings in errors. Throws FileError with the field.
TrainSettings settings_from_json(const nlohmann::ordered_json& json, const std::string& file);

struct Setup {
  Spec spec;  // its recipe as changed by the settings
  TrainSettings settings;
  data::Dataset dataset;
  Plan plan;
  PixelScaling scaling;
  TrainingRule rule;
  Batching train;
  Batching
      validation;  // images of the training split, by --validation, the data set's val/ or the recipe; images = 0: none
  Batching test;
  std::uint64_t total_steps = 0;

  bool validates() const { return validation.images > 0; }
  std::uint64_t epochs() const;  // that the run makes, begun ones included: one for each evaluation
};

// Divides the data set, plans the network, computes the length. Throws UsageError, SpecError or data::DataError.
Setup make_setup(Spec spec, const TrainSettings& settings, data::Dataset dataset);

// Puts the images to train on, then those to validate on, behind the recipe's hold_out_first; takes the others out.
void choose_images(Setup& setup);

// The first step after `step` at which an evaluation is due: the end of the epoch that `step` lies in, or of the run.
std::uint64_t next_evaluation(const Setup& setup, std::uint64_t step);

}  // namespace trainer
