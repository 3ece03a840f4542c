# The emulator's own tests. tests/CMakeLists.txt includes this file, because the emulator is made before the product.
trainer_add_test(NAME emulator_test
                 SOURCES emulator/emulator_failures_test.cpp emulator/emulator_half_test.cpp emulator/emulator_kernels_test.cpp
                         emulator/emulator_machine_test.cpp emulator/emulator_order_test.cpp emulator/emulator_streams_test.cpp emulator/emulator_tensor_test.cpp
                         emulator/grid_barrier_test.cpp
                 LIBRARIES kernels fmt::fmt)
set_source_files_properties(emulator/emulator_tensor_test.cpp PROPERTIES COMPILE_OPTIONS -Wno-unknown-pragmas)
# Conversions are compared with the toolkit's own, if there is one; only toolkit_half.cpp includes the toolkit's headers.
find_package(CUDAToolkit QUIET)
if(CUDAToolkit_FOUND)
  add_library(toolkit_half OBJECT emulator/toolkit_half.cpp)
  target_include_directories(toolkit_half SYSTEM PRIVATE ${CUDAToolkit_INCLUDE_DIRS})
  target_link_libraries(toolkit_half PRIVATE trainer_warnings)
  target_sources(emulator_test PRIVATE $<TARGET_OBJECTS:toolkit_half>)
  set_source_files_properties(emulator/emulator_half_test.cpp PROPERTIES COMPILE_DEFINITIONS TRAINER_TOOLKIT_HALF)
endif()
