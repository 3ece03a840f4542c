trainer_add_test(NAME models_test
                 SOURCES initialize_test.cpp optimizer_test.cpp order_test.cpp plan_published_test.cpp padding_test.cpp plan_test.cpp
                         recipe_groups_test.cpp recipe_test.cpp schedule_test.cpp spec_files_test.cpp spec_test.cpp
                 LIBRARIES models kernels fmt::fmt nlohmann_json::nlohmann_json)
