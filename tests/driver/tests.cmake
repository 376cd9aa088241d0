# The driver and compiled programs from outside, as users call them: one shell script a subject.
file(GLOB driver_tests CONFIGURE_DEPENDS ${CMAKE_CURRENT_LIST_DIR}/*_test.sh)
set(driver_threads_tests library program)
foreach(script ${driver_tests})
  get_filename_component(name ${script} NAME_WE)
  string(REGEX REPLACE "_test$" "" name ${name})
  add_test(NAME driver/${name} COMMAND sh ${script})
  set_tests_properties(driver/${name} PROPERTIES LABELS driver TIMEOUT 1800 SKIP_RETURN_CODE 77
    ENVIRONMENT "KERATIN=$<TARGET_FILE:keratin>;SOURCE=${CMAKE_SOURCE_DIR};SANITIZE=${KT_SANITIZE};CC=${CMAKE_C_COMPILER};COMPARE=$<TARGET_FILE:npy_compare>;EVENTS=$<TARGET_FILE:event_dump>;DATASETS=$<TARGET_FILE:dataset_list>")
  if(name IN_LIST driver_threads_tests)
    set_tests_properties(driver/${name} PROPERTIES LABELS "driver;threads")
  endif()
endforeach()
add_executable(npy_compare ${CMAKE_CURRENT_LIST_DIR}/npy_compare.c)
target_link_libraries(npy_compare PRIVATE keratin_testing)
set_target_properties(npy_compare PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/tests)
add_executable(event_dump ${CMAKE_CURRENT_LIST_DIR}/event_dump.c)
target_link_libraries(event_dump PRIVATE PkgConfig::ZLIB)
set_target_properties(event_dump PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/tests)
add_executable(dataset_list ${CMAKE_CURRENT_LIST_DIR}/dataset_list.c)
target_link_libraries(dataset_list PRIVATE PkgConfig::HDF5)
set_target_properties(dataset_list PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/tests)
# Holds what libkeratin exports nothing of.
target_sources(test_driver_api_memory PRIVATE ${api_sources})
target_link_libraries(test_driver_api_memory PRIVATE $<LINK_GROUP:RESCAN,keratin_train,keratin_runtime>)
# Runs the driver in its own process.
target_link_libraries(test_driver_memory PRIVATE keratin_cli)
# The two need each other.
target_link_libraries(test_driver_trainer_memory PRIVATE $<LINK_GROUP:RESCAN,keratin_train,keratin_runtime>)
