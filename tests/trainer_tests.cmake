trainer_add_test(NAME trainer_test
  SOURCES digit_test.cpp files_test.cpp progress_test.cpp run_folder_test.cpp run_record_test.cpp safetensors_test.cpp
          sha256_test.cpp signals_test.cpp
  LIBRARIES trainer_core)
trainer_add_test(NAME program_test
  SOURCES command_line_test.cpp loop_test.cpp
  LIBRARIES trainer_core reference)
add_dependencies(program_test trainer)
