# All dependencies come from Debian or Ubuntu packages; a missing one is an error that names its package.
# Nothing is downloaded here.

# trainer_missing(what package): stops the configuration with the command that installs the package.
function(trainer_missing what package)
  message(FATAL_ERROR "${what} was not found. On Debian or Ubuntu: sudo apt-get install ${package}\n"
                      "(./scripts/install_packages.sh installs all that the build needs.)")
endfunction()

macro(trainer_find name package)
  find_package(${name} ${ARGN} QUIET)
  if(NOT ${name}_FOUND)
    trainer_missing(${name} ${package})
  endif()
endmacro()

find_program(TRAINER_PKG_CONFIG pkg-config)
if(NOT TRAINER_PKG_CONFIG)
  trainer_missing(pkg-config pkg-config)
endif()
find_package(PkgConfig QUIET REQUIRED)

trainer_find(Threads libc6-dev)
trainer_find(OpenMP g++ COMPONENTS CXX)
trainer_find(CLI11 libcli11-dev)
trainer_find(nlohmann_json nlohmann-json3-dev)
trainer_find(fmt libfmt-dev)
trainer_find(yaml-cpp libyaml-cpp-dev)
trainer_find(OneDNN libdnnl-dev)
trainer_find(OpenSSL libssl-dev COMPONENTS Crypto)

pkg_check_modules(LIBDEFLATE QUIET IMPORTED_TARGET libdeflate)
if(NOT LIBDEFLATE_FOUND)
  trainer_missing(libdeflate libdeflate-dev)
endif()
find_path(STB_INCLUDE_DIR stb_image.h PATH_SUFFIXES stb)
if(NOT STB_INCLUDE_DIR)
  trainer_missing(stb_image libstb-dev)
endif()
if(TRAINER_TESTS)
  trainer_find(GTest libgtest-dev)
endif()

# yaml-cpp names its target yaml-cpp before 0.8 and yaml-cpp::yaml-cpp from then on.
if(NOT TARGET yaml-cpp::yaml-cpp)
  add_library(yaml-cpp::yaml-cpp ALIAS yaml-cpp)
endif()
