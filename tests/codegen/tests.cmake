# What tests of kernels share.
add_library(kernel_runner STATIC ${CMAKE_CURRENT_SOURCE_DIR}/codegen/kernel_runner.c)
target_link_libraries(kernel_runner PUBLIC keratin_testing ${CMAKE_DL_LIBS})
target_include_directories(kernel_runner PUBLIC ${CMAKE_CURRENT_SOURCE_DIR}/codegen)
foreach(test casts integers loops math)
  target_link_libraries(test_codegen_${test} PRIVATE kernel_runner)
endforeach()
