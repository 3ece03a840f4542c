trainer_add_test(NAME data_test
  SOURCES idx_test.cpp idx_set_test.cpp image_test.cpp image_folder_test.cpp dataset_test.cpp
  LIBRARIES data fmt::fmt PkgConfig::LIBDEFLATE)
