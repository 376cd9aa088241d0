# Results of graphs are compared as those of random ones are.
target_link_libraries(test_passes_golden PRIVATE random_graphs)
