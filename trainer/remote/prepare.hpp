// Getting the image of this program to where it is to run: once, and again only when it has changed. Images
// are the same where their layers, date and architecture are.
#pragma once

#include <functional>
#include <string>

#include "trainer/remote/connection.hpp"

namespace trainer {

struct PrepareOptions {
  std::string
      build;  // folder with a Dockerfile, to build the image from first; empty: take the image that is there
  std::function<void(const std::string&)> say;  // each step, a line for a person
};

enum class Prepared : std::uint8_t { up_to_date, changed };

// Has the target's image on the target: builds it here where asked; compares, and sends it where this machine
// has another one; else asks the target's registry. Throws TargetError, UsageError for a target without
// image.
Prepared prepare_target(const Connection& connection, const PrepareOptions& options);

// Layers, date and architecture of an image where the target is; empty: it is not there. Throws TargetError.
[[nodiscard]] std::string image_fingerprint(const Connection& connection);

}  // namespace trainer
