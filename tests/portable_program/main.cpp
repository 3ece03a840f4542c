// Trains a network with the portable engine and writes the bytes of its digest: for compilers and processors that the trainer's
// libraries are not built for (scripts/portable_program.sh).
//   program PLAN IMAGES LABELS OUT BATCH STEPS SEED THREADS
// PLAN is the JSON of `trainer models NAME --json`, IMAGES and LABELS are IDX files, all of which is trained on. THREADS 0 is the
// naive executor. OUT: the values whose SHA-256 is the digest of the run (docs/weights.md).
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <stdexcept>
#include <string>
#include <vector>

#include "kernels/cpu/portable/executor.hpp"
#include "models/network.hpp"
#include "tests/kernels/naive_executor.hpp"

namespace trainer {

namespace cpu::TRAINER_LOOPS {
const PortableKernels& portable_kernels();
}

namespace {

constexpr int kClasses = 10;

std::string bytes_of(const std::string& file) {
  std::ifstream stream(file, std::ios::binary);
  if (!stream) throw std::runtime_error(file + ": cannot be opened for reading");
  return {std::istreambuf_iterator<char>(stream), {}};
}

struct Idx {
  std::vector<int> shape;
  std::vector<std::uint8_t> values;
};

Idx read_idx(const std::string& file) {
  const std::string bytes = bytes_of(file);
  const auto byte = [&](std::size_t i) { return static_cast<int>(static_cast<unsigned char>(bytes.at(i))); };
  Idx idx;
  for (int d = 0; d < byte(3); ++d) {
    const auto at = static_cast<std::size_t>(4 + 4 * d);
    idx.shape.push_back(((byte(at) * 256 + byte(at + 1)) * 256 + byte(at + 2)) * 256 + byte(at + 3));
  }
  idx.values.assign(bytes.begin() + 4 + 4 * byte(3), bytes.end());
  return idx;
}

struct Run {
  std::string plan, images, labels, out;
  int batch, steps, seed, threads;
};

// What trainer/train/digest.hpp hashes.
void write_digest_bytes(const Network& network, const std::string& file) {
  std::ofstream out(file, std::ios::binary);
  for (const NetworkTensor& tensor : network.tensors()) {
    if (tensor.arena > 0) continue;
    for (const float value : network.read(network.tested(tensor))) {
      const auto bits = __builtin_bit_cast(std::uint32_t, value);
      for (const unsigned shift : {0U, 8U, 16U, 24U}) out.put(static_cast<char>(bits >> shift & 0xFFU));
    }
  }
  if (!out.flush()) throw std::runtime_error(file + ": cannot be written");
}

void train(const Run& run) {
  const Idx images = read_idx(run.images);
  const Idx labels = read_idx(run.labels);
  Spec spec = parse_spec(bytes_of(run.plan), run.plan);
  Recipe& recipe = spec.recipe;
  if (recipe.input.from_data) throw std::runtime_error("`normalize: data` is left to the trainer");
  recipe.schedule.steps = static_cast<std::uint64_t>(run.steps);
  const Plan plan = make_plan(spec, {{images.shape.at(1), images.shape.at(2), 1}, kClasses, run.batch});
  ExecutorBackend backend(
      std::max(run.threads, 1), [&](cpu::Stream& stream) -> std::unique_ptr<portable::Executor> {
        if (run.threads == 0) return std::make_unique<NaiveExecutor>(stream);
        return std::make_unique<cpu::CpuExecutor>(cpu::TRAINER_LOOPS::portable_kernels(), stream);
      });
  const TrainingRule rule{optimizers_of(recipe), recipe.schedule, static_cast<float>(recipe.clip_norm)};
  Network network(plan, backend, Purpose::training, rule.optimizers);
  network.initialize(static_cast<std::uint64_t>(run.seed));
  StepState state;
  state.seed = static_cast<std::uint64_t>(run.seed);
  network.write_training_state(state);
  const StepInput input{images.values.data(),
                        labels.values.data(),
                        {.images = static_cast<std::uint32_t>(images.shape.at(0)),
                         .batch = static_cast<std::uint32_t>(run.batch),
                         .order = recipe.order,
                         .last_batch = recipe.last_batch},
                        recipe.input.by_image
                            ? PixelScaling{1, 0, true}
                            : PixelScaling{static_cast<float>(recipe.input.scale / recipe.input.deviation),
                                           static_cast<float>(-recipe.input.mean / recipe.input.deviation)},
                        recipe.input.augmentation};
  for (int step = 0; step < run.steps; ++step) network.train_step(input, rule);
  if (network.read_training_state().first_bad_step != kNoBadStep)
    throw std::runtime_error("the loss is not finite");
  write_digest_bytes(network, run.out);
}

}  // namespace
}  // namespace trainer

int main(int count, char** arguments) {
  if (count != 9) {
    std::fprintf(stderr, "usage: %s PLAN IMAGES LABELS OUT BATCH STEPS SEED THREADS\n", arguments[0]);
    return 2;
  }
  try {
    trainer::train({arguments[1], arguments[2], arguments[3], arguments[4], std::atoi(arguments[5]),
                    std::atoi(arguments[6]), std::atoi(arguments[7]), std::atoi(arguments[8])});
  } catch (const std::exception& error) {
    std::fprintf(stderr, "error: %s\n", error.what());
    return 1;
  }
}
