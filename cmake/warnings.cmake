# trainer_warnings: the flags that every target of the project compiles with, including sanitizers and coverage. nvcc has its
# own (kernels/CMakeLists.txt).
add_library(trainer_warnings INTERFACE)
target_compile_options(trainer_warnings INTERFACE $<$<COMPILE_LANGUAGE:CXX>:-Wall -Wextra -Wpedantic>)
# GCC 12 warns of overlapping copies in std::string's own operator+ (GCC bug 105329).
if(CMAKE_CXX_COMPILER_ID STREQUAL GNU AND CMAKE_CXX_COMPILER_VERSION VERSION_LESS 13)
  target_compile_options(trainer_warnings INTERFACE $<$<COMPILE_LANGUAGE:CXX>:-Wno-restrict>)
endif()
if(TRAINER_WERROR)
  target_compile_options(trainer_warnings INTERFACE $<$<COMPILE_LANGUAGE:CXX>:-Werror>)
endif()
if(TRAINER_SANITIZE)
  target_compile_options(trainer_warnings INTERFACE -fsanitize=address,undefined -fno-sanitize-recover=all
                                                    -fno-omit-frame-pointer)
  target_link_options(trainer_warnings INTERFACE -fsanitize=address,undefined)
  # A position-independent program starts with millions of relocations in UBSan's descriptions, which take 0.3 s.
  target_compile_options(trainer_warnings INTERFACE $<$<NOT:$<IN_LIST:$<TARGET_PROPERTY:TYPE>,SHARED_LIBRARY$<SEMICOLON>MODULE_LIBRARY>>:-fno-pie>)
  target_link_options(trainer_warnings INTERFACE $<$<STREQUAL:$<TARGET_PROPERTY:TYPE>,EXECUTABLE>:-no-pie>)
endif()
if(TRAINER_FUZZ)
  target_compile_options(trainer_warnings INTERFACE -fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=all
                                                    -fno-omit-frame-pointer)
  target_link_options(trainer_warnings INTERFACE -fsanitize=address,undefined)
endif()
if(TRAINER_COVERAGE)
  # Only the product is counted: targets with the property TRAINER_NOT_COUNTED run at full speed. Threads may lose counts to one
  # another: whether a line was reached is what matters, and counting atomically takes twice as long.
  target_compile_options(trainer_warnings
    INTERFACE $<$<NOT:$<BOOL:$<TARGET_PROPERTY:TRAINER_NOT_COUNTED>>>:--coverage>)
  target_link_options(trainer_warnings INTERFACE --coverage)
endif()
