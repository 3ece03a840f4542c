# Prints six lines that say what was configured.
message(STATUS "mnist-trainer  ${PROJECT_VERSION}, ${CMAKE_BUILD_TYPE}, ${CMAKE_CXX_COMPILER_ID} ${CMAKE_CXX_COMPILER_VERSION}")
message(STATUS "GPU engine     ${trainer_gpu_text}")
message(STATUS "CPU engine     oneDNN ${OneDNN_VERSION}, OpenMP ${OpenMP_CXX_VERSION}, vector code for: ${TRAINER_LOOP_TARGETS}")
message(STATUS "data, text     libdeflate ${LIBDEFLATE_VERSION}, yaml-cpp ${yaml-cpp_VERSION}, nlohmann-json ${nlohmann_json_VERSION}, fmt ${fmt_VERSION}, CLI11 ${CLI11_VERSION}, OpenSSL ${OPENSSL_VERSION}")
message(STATUS "checks         tests ${TRAINER_TESTS}, warnings as errors ${TRAINER_WERROR}, sanitizers ${TRAINER_SANITIZE}, coverage ${TRAINER_COVERAGE}")
message(STATUS "installs to    ${CMAKE_INSTALL_PREFIX} (${CMAKE_INSTALL_BINDIR}/trainer, ${CMAKE_INSTALL_DATADIR}/mnist-trainer)")
