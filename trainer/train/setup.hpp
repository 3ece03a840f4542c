// Everything a training or a test needs before a device is touched: the data set, which of its images are for
// what, the network's plan, the input scaling and the length of the run.
#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>

#include "data/dataset.hpp"
#include "kernels/device_info.hpp"
#include "models/network.hpp"
#include "trainer/store/settings.hpp"

namespace trainer {

struct Setup {
  Spec spec;  // its recipe as changed by the settings
  TrainSettings settings;
  data::Dataset dataset;
  Plan plan;
  PixelScaling scaling;
  TrainingRule rule;
  Batching train;
  Batching validation;  // images of the training split; images = 0: none
  Batching test;
  std::uint64_t total_steps = 0;

  bool validates() const { return validation.images > 0; }
  std::uint64_t epochs() const;  // full epochs that the run makes, rounded up
};

// Cuts the data set, plans the network, works out the length. Throws UsageError, SpecError or
// data::DataError.
Setup make_setup(Spec spec, const TrainSettings& settings, data::Dataset dataset);

// A host gives memory out before it is there: a batch that is too large would end the program without a word.
// Throws UsageError; a GPU says so itself.
void require_memory(const Setup& setup, const DeviceInfo& info);

// The first step after `step` at which an evaluation is due: the end of the pass that `step` lies in, or of
// the run.
std::uint64_t next_evaluation(const Setup& setup, std::uint64_t step);

// `normalize: data` takes mean and deviation from `train_pixels`: those of the images that are trained on,
// without what is held out.
PixelScaling pixel_scaling(const InputScaling& input, std::span<const std::uint8_t> train_pixels);

}  // namespace trainer
