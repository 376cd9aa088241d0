# Gradients are compiled and compared by what runs random graphs.
target_link_libraries(test_ir_gradient_operations PRIVATE random_graphs)
