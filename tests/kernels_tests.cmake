add_subdirectory(reference)

trainer_add_test(NAME reference_test SOURCES reference_test.cpp samples.cpp LIBRARIES reference fmt::fmt)
trainer_add_test(NAME conformance_test
                 SOURCES conformance_test.cpp not_finite_test.cpp conformance_cases.cpp op_trial.cpp samples.cpp
                 LIBRARIES reference fmt::fmt)
trainer_add_test(NAME math_test SOURCES math_test.cpp LIBRARIES reference)
trainer_add_test(NAME step_test SOURCES gather_test.cpp update_test.cpp LIBRARIES reference fmt::fmt)
trainer_add_test(NAME backend_test SOURCES backend_test.cpp conformance_cases.cpp LIBRARIES kernels fmt::fmt)
