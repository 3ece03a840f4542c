add_subdirectory(reference)

trainer_add_test(NAME reference_test SOURCES reference_test.cpp samples.cpp LIBRARIES reference fmt::fmt)
trainer_add_test(NAME conformance_test
                 SOURCES conformance_test.cpp not_finite_test.cpp conformance_cases.cpp normalised_cases.cpp op_trial.cpp samples.cpp
                         selection_test.cpp
                 LIBRARIES reference fmt::fmt)
trainer_add_test(NAME math_test SOURCES math_test.cpp LIBRARIES reference)
trainer_add_test(NAME loops_test SOURCES loops_test.cpp LIBRARIES kernels)
trainer_add_test(NAME step_test SOURCES conformance_cases.cpp gather_test.cpp muon_test.cpp update_test.cpp LIBRARIES reference fmt::fmt)
trainer_add_test(NAME backend_test SOURCES backend_test.cpp conformance_cases.cpp narrow_map_test.cpp LIBRARIES kernels fmt::fmt)

# What a GPU is and why it cannot be used, all played, so that no GPU is needed; nvml.cpp needs only a library to load.
add_library(nvml_stand_in SHARED nvml_stand_in.cpp)
target_link_libraries(nvml_stand_in PRIVATE trainer_warnings)
add_library(libcuda_stand_in SHARED libcuda_stand_in.cpp)
target_link_libraries(libcuda_stand_in PRIVATE trainer_warnings)
trainer_add_test(NAME gpu_info_test
                 SOURCES gpu_architectures_test.cpp gpu_availability_test.cpp gpu_driver_test.cpp nvml_test.cpp
                 LIBRARIES kernels fmt::fmt ${CMAKE_DL_LIBS})
target_compile_definitions(gpu_info_test PRIVATE TRAINER_NVML_STAND_IN="$<TARGET_FILE:nvml_stand_in>"
                                                 TRAINER_LIBCUDA_STAND_IN="$<TARGET_FILE:libcuda_stand_in>")
add_dependencies(gpu_info_test nvml_stand_in libcuda_stand_in)

# The cache of the library's plans needs no CUDA.
trainer_add_test(NAME plan_cache_test SOURCES plan_cache_test.cpp ${PROJECT_SOURCE_DIR}/kernels/cuda/plan_cache.cpp
                 LIBRARIES kernels fmt::fmt)

if(TRAINER_GPU_ENGINE STREQUAL EMULATED)
  trainer_add_test(NAME emulator_test
                   SOURCES emulator_failures_test.cpp emulator_half_test.cpp emulator_kernels_test.cpp emulator_machine_test.cpp
                           emulator_streams_test.cpp emulator_tensor_test.cpp grid_barrier_test.cpp
                   LIBRARIES kernels fmt::fmt)
  set_source_files_properties(emulator_tensor_test.cpp PROPERTIES COMPILE_OPTIONS -Wno-unknown-pragmas)
  trainer_add_test(NAME emulated_room_test SOURCES conformance_cases.cpp emulated_room_test.cpp op_trial.cpp samples.cpp
                   LIBRARIES reference fmt::fmt)
  trainer_add_test(NAME product_plan_test SOURCES product_plan_test.cpp LIBRARIES kernels fmt::fmt)
  # Conversions are compared with the toolkit's own, where there is one: its headers see no other source than this.
  find_package(CUDAToolkit QUIET)
  if(CUDAToolkit_FOUND)
    add_library(toolkit_half OBJECT toolkit_half.cpp)
    target_include_directories(toolkit_half SYSTEM PRIVATE ${CUDAToolkit_INCLUDE_DIRS})
    target_link_libraries(toolkit_half PRIVATE trainer_warnings)
    target_sources(emulator_test PRIVATE $<TARGET_OBJECTS:toolkit_half>)
    set_source_files_properties(emulator_half_test.cpp PROPERTIES COMPILE_DEFINITIONS TRAINER_TOOLKIT_HALF)
  endif()
elseif(TRAINER_GPU_ENGINE STREQUAL ON)
  # cuDNN plans for every architecture without a device; the program starts itself once for each. And how cuBLASLt is loaded.
  trainer_add_test(NAME cudnn_plans_test SOURCES cublas_loading_test.cpp cudnn_plans_test.cpp conformance_cases.cpp
                   LIBRARIES models kernels fmt::fmt yaml-cpp::yaml-cpp CUDNN::cudnn CUDA::cudart)
  target_compile_definitions(cudnn_plans_test PRIVATE TRAINER_DRIVER_STUBS="${CUDAToolkit_LIBRARY_DIR}/stubs")
endif()
