# What tests of kernels share.
add_library(kernel_runner STATIC ${CMAKE_CURRENT_SOURCE_DIR}/codegen/kernel_runner.c
  ${CMAKE_CURRENT_SOURCE_DIR}/codegen/kernel_suite.c)
target_link_libraries(kernel_runner PUBLIC keratin_testing ${CMAKE_DL_LIBS})
target_include_directories(kernel_runner PUBLIC ${CMAKE_CURRENT_SOURCE_DIR}/codegen)
foreach(test accumulate casts choice deep in_place integers loops math lower contraction random separable transposed ulp winograd words)
  target_link_libraries(test_codegen_${test} PRIVATE kernel_runner)
endforeach()
# Not a test: see there.
add_executable(bench_kernels EXCLUDE_FROM_ALL ${CMAKE_SOURCE_DIR}/bench/kernels.c)
target_link_libraries(bench_kernels PRIVATE kernel_runner)
