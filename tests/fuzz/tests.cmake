# Fuzz targets: NAME_fuzz.c. Everywhere each runs over its seeds and over what once went wrong (corpus/NAME): test
# fuzz/NAME, label replay. Under AddressSanitizer with clang libFuzzer also looks for more: test fuzz/NAME_search, label
# fuzz. It starts from the same files and writes below the build folder only. Seed and number of runs are fixed, so what
# ./check looks through is the same each day and on each machine; to find more, give it a time, and what an earlier
# search has kept.
set(KT_FUZZ_SECONDS "" CACHE STRING "how long each fuzzer searches, in place of a number of runs; 0: until it is stopped")
set(fuzz ${CMAKE_CURRENT_LIST_DIR})
set(fuzz_out ${CMAKE_BINARY_DIR}/tests/fuzz)
set(fuzz_seeds ${fuzz_out}/seeds)
file(MAKE_DIRECTORY ${fuzz_out})
file(GLOB fuzz_sources CONFIGURE_DEPENDS ${fuzz}/*_fuzz.c)
file(GLOB fuzz_graphs CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/passes/*.kir)
file(GLOB fuzz_models CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/frontend/models/*.keras
  ${CMAKE_CURRENT_SOURCE_DIR}/driver/*.keras)
add_library(fuzz_common STATIC ${fuzz}/fuzz.c ${fuzz}/json.c)
target_link_libraries(fuzz_common PUBLIC keratin_testing)
add_library(fuzz_replay STATIC ${fuzz}/replay.c)
target_link_libraries(fuzz_replay PUBLIC fuzz_common z)

add_executable(fuzz_seeds ${fuzz}/seeds.c)
target_link_libraries(fuzz_seeds PRIVATE keratin_testing)
set_target_properties(fuzz_seeds PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/tests)
add_custom_command(OUTPUT ${fuzz_seeds}.made
  COMMAND fuzz_seeds ${fuzz_seeds} ${CMAKE_CURRENT_SOURCE_DIR}/frontend/layer_configs.json ${fuzz_models} ${fuzz_graphs}
  COMMAND ${CMAKE_COMMAND} -E touch ${fuzz_seeds}.made
  DEPENDS fuzz_seeds ${fuzz_models} ${fuzz_graphs} ${CMAKE_CURRENT_SOURCE_DIR}/frontend/layer_configs.json)
add_custom_target(fuzz_made_seeds ALL DEPENDS ${fuzz_seeds}.made)

# How often each is run: about a quarter of a minute.
set(fuzz_runs_archive 20000)
set(fuzz_runs_config 20000)
set(fuzz_runs_csv 4000000)
set(fuzz_runs_json 2000000)
set(fuzz_runs_kir 200000)
set(fuzz_runs_kpb 250000)
set(fuzz_runs_npy 4000000)
set(fuzz_runs_npz 150000)
set(fuzz_runs_protocol 3000)
set(fuzz_runs_tuning 1000000)
set(fuzz_runs_weights 700000)

# Where else seeds lie.
set(fuzz_seeds_npy ${CMAKE_CURRENT_SOURCE_DIR}/runtime/data)
set(fuzz_seeds_npz ${CMAKE_CURRENT_SOURCE_DIR}/runtime/data)
foreach(source ${fuzz_sources})
  get_filename_component(name ${source} NAME_WE)
  string(REGEX REPLACE "_fuzz$" "" name ${name})
  add_executable(fuzz_${name} ${source})
  target_link_libraries(fuzz_${name} PRIVATE fuzz_replay)
  set_target_properties(fuzz_${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/tests)
  add_test(NAME fuzz/${name} COMMAND fuzz_${name} ${fuzz}/corpus/${name} ${fuzz_seeds}/${name} ${fuzz_seeds_${name}})
  set_tests_properties(fuzz/${name} PROPERTIES LABELS replay TIMEOUT 900
    ENVIRONMENT "ASAN_OPTIONS=allocator_may_return_null=1")
endforeach()

# An input frees little: what is kept of the freed need not outlast it by far.
set(fuzz_search_options allocator_may_return_null=1:malloc_context_size=1:quarantine_size_mb=8)
if(KT_SANITIZE MATCHES address AND CMAKE_C_COMPILER_ID MATCHES Clang)
  # The readers once more, optimised, and with what libFuzzer needs to see where it has been.
  add_library(fuzz_instrumented STATIC ${fuzz}/fuzz.c ${fuzz}/json.c)
  foreach(part support ir passes frontend runtime train)
    get_target_property(sources keratin_${part} SOURCES)
    get_target_property(links keratin_${part} LINK_LIBRARIES)
    list(FILTER sources EXCLUDE REGEX "runtime/main\\.c$")
    list(FILTER links EXCLUDE REGEX "^keratin_[a-z]*$")
    target_sources(fuzz_instrumented PRIVATE ${sources})
    target_link_libraries(fuzz_instrumented PUBLIC ${links})
    # But for our own headers, which are no system's: analysers trust such to keep no pointers.
    target_include_directories(fuzz_instrumented SYSTEM PRIVATE
      $<FILTER:$<TARGET_PROPERTY:keratin_${part},INCLUDE_DIRECTORIES>,EXCLUDE,^${CMAKE_SOURCE_DIR}$>)
    add_dependencies(fuzz_instrumented keratin_${part}) # which makes what is generated
  endforeach()
  target_include_directories(fuzz_instrumented PRIVATE ${CMAKE_SOURCE_DIR})
  target_compile_options(fuzz_instrumented PRIVATE -O1 -fsanitize=fuzzer-no-link)
  target_link_libraries(fuzz_instrumented PUBLIC keratin_options z)
  # Clang-tidy analyses a source once for each command that compiles it: these do not count.
  set_target_properties(fuzz_instrumented PROPERTIES EXPORT_COMPILE_COMMANDS OFF)
  # What libFuzzer tries next depends on where things lie in memory: the same everywhere, where that is allowed.
  set(fixed setarch -R)
  execute_process(COMMAND ${fixed} true RESULT_VARIABLE refused OUTPUT_QUIET ERROR_QUIET)
  if(refused)
    set(fixed "")
  endif()
  foreach(source ${fuzz_sources})
    get_filename_component(name ${source} NAME_WE)
    string(REGEX REPLACE "_fuzz$" "" name ${name})
    file(MAKE_DIRECTORY ${fuzz_out}/${name} ${fuzz_out}/findings)
    set(places ${fuzz_out}/${name} ${fuzz_seeds}/${name} ${fuzz_seeds_${name}})
    if(EXISTS ${fuzz}/corpus/${name}) # what was found, if anything was
      list(APPEND places ${fuzz}/corpus/${name})
    endif()
    if(EXISTS ${fuzz}/${name}.dict)
      list(APPEND places -dict=${fuzz}/${name}.dict)
    elseif(name STREQUAL kir)
      list(APPEND places -dict=${fuzz_seeds}/kir.dict)
    endif()
    if(KT_FUZZ_SECONDS STREQUAL "")
      if(NOT fuzz_runs_${name})
        message(FATAL_ERROR "How often fuzz_${name}_search runs is not said: set fuzz_runs_${name}.")
      endif()
      set(limit -runs=${fuzz_runs_${name}})
    else()
      set(limit -max_total_time=${KT_FUZZ_SECONDS})
    endif()
    add_executable(fuzz_${name}_search ${source})
    target_compile_options(fuzz_${name}_search PRIVATE -O1 -fsanitize=fuzzer-no-link)
    target_link_libraries(fuzz_${name}_search PRIVATE fuzz_instrumented -fsanitize=fuzzer)
    set_target_properties(fuzz_${name}_search PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/tests
      EXPORT_COMPILE_COMMANDS OFF)
    file(MAKE_DIRECTORY ${fuzz_seeds}/${name})
    add_test(NAME fuzz/${name}_search COMMAND ${fixed} $<TARGET_FILE:fuzz_${name}_search> ${limit} -seed=1 -reload=0
      -timeout=20 -rss_limit_mb=3000 -print_final_stats=1 -verbosity=1 -artifact_prefix=${fuzz_out}/findings/${name}- ${places})
    set_tests_properties(fuzz/${name}_search PROPERTIES LABELS fuzz COST 15
      ENVIRONMENT "ASAN_OPTIONS=${fuzz_search_options}")
  endforeach()
endif()
