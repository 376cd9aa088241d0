# Training steps of small models against Keras's, made by tests/training/make.py.
add_executable(training_steps ${CMAKE_CURRENT_LIST_DIR}/steps.c)
target_link_libraries(training_steps PRIVATE keratin_testing)
set_target_properties(training_steps PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/tests)
add_test(NAME training/steps COMMAND training_steps ${CMAKE_CURRENT_LIST_DIR}/steps.npz)
set_tests_properties(training/steps PROPERTIES LABELS training TIMEOUT 1800)
