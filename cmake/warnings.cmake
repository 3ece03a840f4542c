# trainer_warnings: what every target of the project compiles with; sanitizers and coverage ride along. nvcc takes its own
# words (kernels/CMakeLists.txt).
add_library(trainer_warnings INTERFACE)
target_compile_options(trainer_warnings INTERFACE $<$<COMPILE_LANGUAGE:CXX>:-Wall -Wextra -Wpedantic>)
# GCC 12 sees overlapping copies in std::string's own operator+ (its bug 105329).
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
  # A program that is loaded anywhere begins with millions of addresses to mend in UBSan's descriptions: 0.3 s a start.
  target_compile_options(trainer_warnings INTERFACE $<$<NOT:$<STREQUAL:$<TARGET_PROPERTY:TYPE>,SHARED_LIBRARY>>:-fno-pie>)
  target_link_options(trainer_warnings INTERFACE $<$<STREQUAL:$<TARGET_PROPERTY:TYPE>,EXECUTABLE>:-no-pie>)
endif()
if(TRAINER_COVERAGE)
  # Of the product alone: targets with the property TRAINER_NOT_COUNTED run at their own speed.
  target_compile_options(trainer_warnings
    INTERFACE $<$<NOT:$<BOOL:$<TARGET_PROPERTY:TRAINER_NOT_COUNTED>>>:--coverage -fprofile-update=atomic>)
  target_link_options(trainer_warnings INTERFACE --coverage)
endif()
