// Loading and asking a saved network.
#include "trainer/infer/trained_network.hpp"

#include <algorithm>
#include <cmath>

namespace trainer {

TrainedNetwork::TrainedNetwork(const Environment& environment, const std::string& run_or_file,
                               DeviceRequest request, int batch)
    : path_(model_file(resolve_run(run_or_file, environment.runs))) {
  const SafetensorsFile file = SafetensorsFile::read(path_);
  saved_ = read_saved_network(file);
  request.wanted = trained_precision(saved_);
  request.engine = saved_.settings.engine;
  device_ = choose_device(request);
  network_.emplace_back(make_plan(saved_.spec, {saved_.image, saved_.classes, batch}), *device_.backend,
                        Purpose::inference);
  load_tensors(file, network());
}

std::string TrainedNetwork::label_name(int label) const {
  const auto index = static_cast<std::size_t>(label);
  return index < saved_.label_names.size() ? saved_.label_names[index] : std::to_string(label);
}

std::vector<float> TrainedNetwork::probabilities(const std::vector<std::uint8_t>& images) {
  const auto classes = static_cast<std::size_t>(saved_.classes);
  const auto batch = static_cast<std::uint32_t>(network().plan().input.batch);
  const std::size_t count = images.size() / saved_.image.size();
  const std::vector<std::uint8_t> no_labels(count);
  const Buffer held = device_.backend->make_resident(images.data(), images.size(), "the pictures");
  const Buffer labels = device_.backend->make_resident(no_labels.data(), count, "their labels");
  const StepInput input{held.as<std::uint8_t>(),
                        labels.as<std::uint8_t>(),
                        {static_cast<std::uint32_t>(count), 0, batch, Order::fixed, LastBatch::mask},
                        saved_.scaling};
  std::vector<float> all;
  network().write_evaluation_state(StepState{});
  while (all.size() < count * classes) {
    network().evaluate_step(input);
    device_.backend->wait();
    const std::vector<float> logits = network().read_logits();
    const std::size_t rows = std::min<std::size_t>(batch, count - all.size() / classes);
    all.insert(all.end(), logits.begin(), logits.begin() + static_cast<std::ptrdiff_t>(rows * classes));
  }
  for (std::size_t n = 0; n < count; ++n) {
    float* row = all.data() + n * classes;
    const float most = *std::max_element(row, row + classes);
    float sum = 0;
    for (std::size_t j = 0; j < classes; ++j) sum += row[j] = std::exp(row[j] - most);
    for (std::size_t j = 0; j < classes; ++j) row[j] /= sum;
  }
  return all;
}

}  // namespace trainer
