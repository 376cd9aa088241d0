# Random graphs: what the generator, the ways to run and the shrinking are.
target_sources(test_random_random PRIVATE ${CMAKE_CURRENT_LIST_DIR}/generator.c ${CMAKE_CURRENT_LIST_DIR}/subject.c
  ${CMAKE_CURRENT_LIST_DIR}/shrink.c)
target_link_libraries(test_random_random PRIVATE ${CMAKE_DL_LIBS})
set_tests_properties(random/random PROPERTIES TIMEOUT 900)
