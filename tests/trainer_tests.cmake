trainer_add_test(NAME trainer_test
  SOURCES device_report_test.cpp digit_test.cpp energy_meter_test.cpp files_test.cpp progress_test.cpp run_folder_test.cpp run_record_test.cpp
          safetensors_test.cpp sha256_test.cpp signals_test.cpp statistics_test.cpp
  LIBRARIES trainer_core)
target_compile_definitions(trainer_test PRIVATE TRAINER_NVML_STAND_IN="$<TARGET_FILE:nvml_stand_in>")
add_dependencies(trainer_test nvml_stand_in)
trainer_add_test(NAME program_test
  SOURCES bench_compare_test.cpp bench_test.cpp checkpoint_test.cpp command_line_test.cpp data_sets_test.cpp
          double_network.cpp interruption_test.cpp loop_reference_test.cpp loop_test.cpp openmp_environment_test.cpp output_test.cpp
          precision_test.cpp predict_test.cpp profile_test.cpp
  LIBRARIES trainer_core reference)
trainer_add_test(NAME sprint_test SOURCES double_network.cpp selection_training_test.cpp sprint_parity_test.cpp sprint_test.cpp
                 LIBRARIES trainer_core reference)
trainer_add_test(NAME inside_container_test SOURCES inside_container_test.cpp LIBRARIES trainer_core)
trainer_add_test(NAME documents_test SOURCES documents_test.cpp LIBRARIES documents)
trainer_add_test(NAME runs_test
  SOURCES runs_filter_test.cpp runs_program_test.cpp runs_statistics_test.cpp runs_table_test.cpp
  LIBRARIES trainer_core)
trainer_add_test(NAME doctor_test
  SOURCES doctor_checks_test.cpp doctor_explain_test.cpp doctor_program_test.cpp doctor_several_test.cpp
          doctor_speed_test.cpp
  LIBRARIES trainer_core)
trainer_add_test(NAME report_test SOURCES report_page_test.cpp report_parts_test.cpp report_plot_test.cpp
                 LIBRARIES trainer_core)
trainer_add_test(NAME remote_test
  SOURCES container_test.cpp process_test.cpp reconnection_test.cpp sent_files_test.cpp submission_test.cpp
          target_files_test.cpp
  LIBRARIES trainer_core)
trainer_add_test(NAME mnist_test SOURCES mnist_test.cpp real_data_test.cpp LIBRARIES trainer_core LABEL slow)
trainer_add_test(NAME gpu_training_test SOURCES gpu_endings_test.cpp gpu_training_test.cpp LIBRARIES trainer_core)
if(TRAINER_GPU_ENGINE STREQUAL EMULATED)
  trainer_add_test(NAME emulated_engine_test SOURCES emulated_engine_test.cpp emulated_faults_test.cpp emulated_loading_test.cpp emulated_sprint_test.cpp
                   LIBRARIES trainer_core)
  trainer_add_test(NAME gpu_program_test SOURCES gpu_engine_choice_test.cpp gpu_program_test.cpp LIBRARIES trainer_core)
  target_sources(mnist_test PRIVATE gpu_mnist_test.cpp)
  target_sources(doctor_test PRIVATE doctor_gpu_test.cpp)
  target_compile_definitions(gpu_program_test PRIVATE TRAINER_NVML_STAND_IN="$<TARGET_FILE:nvml_stand_in>")
  add_dependencies(gpu_program_test trainer nvml_stand_in)
endif()
foreach(test program_test sprint_test inside_container_test runs_test doctor_test report_test remote_test mnist_test)
  add_dependencies(${test} trainer)
endforeach()
# On a GPU at full size and 200 times: a stage of scripts/gpu_check.sh of its own.
trainer_add_test(NAME gpu_bits_test SOURCES gpu_bits_test.cpp gpu_kernel_bits_test.cpp LIBRARIES models kernels fmt::fmt)
if(TRAINER_GPU_ENGINE STREQUAL EMULATED)
  target_compile_definitions(gpu_bits_test PRIVATE TRAINER_BITS_EMULATED)
endif()

# The model of the GPU engine's time is in Python; it asks the program for the networks.
find_package(Python3 COMPONENTS Interpreter)
if(Python3_Interpreter_FOUND)
  add_test(NAME gpu_model_test COMMAND ${Python3_EXECUTABLE} ${PROJECT_SOURCE_DIR}/tests/scripts/gpu_model_test.py)
  set_tests_properties(gpu_model_test PROPERTIES TIMEOUT 600 ENVIRONMENT
    "TRAINER=$<TARGET_FILE:trainer>;TRAINER_EMULATED=$<STREQUAL:${TRAINER_GPU_ENGINE},EMULATED>;OMP_WAIT_POLICY=passive")
endif()
