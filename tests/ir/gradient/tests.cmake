# Gradients are compiled and compared by what runs random graphs.
set(random ${CMAKE_CURRENT_LIST_DIR}/../../random)
target_sources(test_ir_gradient_operations PRIVATE ${random}/subject.c ${random}/generator.c)
target_link_libraries(test_ir_gradient_operations PRIVATE ${CMAKE_DL_LIBS})
