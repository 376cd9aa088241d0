# Random graphs: what the generator, the ways to run and the shrinking are.
add_library(random_graphs STATIC ${CMAKE_CURRENT_LIST_DIR}/grower.c ${CMAKE_CURRENT_LIST_DIR}/deriver.c ${CMAKE_CURRENT_LIST_DIR}/generator.c
  ${CMAKE_CURRENT_LIST_DIR}/subject.c ${CMAKE_CURRENT_LIST_DIR}/shrink.c)
target_link_libraries(random_graphs PUBLIC keratin_testing ${CMAKE_DL_LIBS})
target_link_libraries(test_random_random PRIVATE random_graphs)
set_tests_properties(random/random PROPERTIES TIMEOUT 1800 COST 200)
if(NOT KT_SANITIZE)
  add_test(NAME random/more COMMAND test_random_random 1001 1000)
  set_tests_properties(random/more PROPERTIES LABELS random TIMEOUT 1800 COST 200)
endif()
