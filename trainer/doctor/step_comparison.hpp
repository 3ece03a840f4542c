// Where a training that missed its digest left the way of the same training on another device: the evidence for the device's maker.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>

#include "trainer/store/safetensors.hpp"

namespace trainer::doctor {

struct StepComparison {
  std::string beside;          // the other device
  bool beside_proven = false;  // which met the known digest
  std::string error = {};      // why the two could not be compared
  int trainings = 0;           // how often the device trained with a digest of each step
  int differing = 0;           // how many of them left the other's way
  int same = 0;            // how many of these as the first of them: at the same step, with the same digest
  std::uint64_t step = 0;  // after which the first of them differed; 0: none did
  nlohmann::ordered_json tensors = {};  // of differing_tensors() then, when it was trained up to there again
};

// The first step at which the digests of two runs ("digests_by_step" of run.json) differ, or that only one of them reached.
std::optional<std::uint64_t> first_difference(const nlohmann::ordered_json& is,
                                              const nlohmann::ordered_json& should);

// The tensors of two checkpoints of one network that differ, in the network's order: the values, then the optimiser's. Each with its
// op, how many elements it has and how many of them differ, and the first 16 of these: index, bits of what is and what should be.
nlohmann::ordered_json differing_tensors(const SafetensorsFile& is, const SafetensorsFile& should);

std::string comparison_text(const StepComparison& comparison);  // in one line
nlohmann::ordered_json comparison_json(const StepComparison& comparison);

}  // namespace trainer::doctor
