#include "tests/fuzz/targets.hpp"

#include <array>

namespace trainer::fuzz {

std::span<const FuzzTarget> fuzz_targets() {
  static constexpr std::array kTargets{
      FuzzTarget{"idx", fuzz_idx},
      FuzzTarget{"gzip", fuzz_gzip, repaired_gzip},
      FuzzTarget{"picture", fuzz_picture, repaired_png},
      FuzzTarget{"network", fuzz_network},
      FuzzTarget{"config", fuzz_config},
      FuzzTarget{"compute", fuzz_compute},
      FuzzTarget{"runconfig", fuzz_runconfig},
      FuzzTarget{"safetensors", fuzz_safetensors, repaired_safetensors},
      FuzzTarget{"checkpoint", fuzz_checkpoint},
      FuzzTarget{"run", fuzz_run, nullptr, 8192},
      FuzzTarget{"metrics", fuzz_metrics},
      FuzzTarget{"bench", fuzz_bench},
      FuzzTarget{"registry", fuzz_registry},
      FuzzTarget{"where", fuzz_where, nullptr, 512},
      FuzzTarget{"explain", fuzz_explain, nullptr, 512},
      FuzzTarget{"ranks", fuzz_ranks},
  };
  return kTargets;
}

}  // namespace trainer::fuzz
