// A target as a test needs one: a remote machine with Docker.
#pragma once

#include "trainer/remote/target.hpp"

namespace trainer::test {

inline Target vm() {
  Target target;
  target.name = "vm";
  target.address = "vm.example.com";
  target.username = "me";
  target.port = 2222;
  target.image = "trainer:1";
  return target;
}

}  // namespace trainer::test
