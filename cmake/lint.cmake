# The target `lint`: every source formatted as .clang-format says, and clean under .clang-tidy. A file is checked
# again only when it or a header has changed.
find_program(CLANG_FORMAT NAMES clang-format-19)
find_program(CLANG_TIDY NAMES clang-tidy-19)
if(NOT CLANG_FORMAT OR NOT CLANG_TIDY)
  return()
endif()
file(GLOB_RECURSE lint_headers CONFIGURE_DEPENDS RELATIVE ${CMAKE_SOURCE_DIR} ir/*.def frontend/*.def support/*.h ir/*.h
  passes/*.h codegen/*.h runtime/*.h frontend/*.h cli/*.h api/*.h include/*.h tests/*.h)
file(GLOB_RECURSE lint_sources CONFIGURE_DEPENDS RELATIVE ${CMAKE_SOURCE_DIR} support/*.c ir/*.c passes/*.c codegen/*.c
  runtime/*.c frontend/*.c cli/*.c api/*.c tests/*.c bench/*.c)
# They include headers that the compiler makes.
list(REMOVE_ITEM lint_sources tests/driver/library.c tests/driver/generic.c tests/driver/trainer.c tests/driver/api.c)
list(TRANSFORM lint_headers PREPEND ${CMAKE_SOURCE_DIR}/ OUTPUT_VARIABLE lint_header_paths)
foreach(source ${lint_sources})
  set(stamp ${CMAKE_BINARY_DIR}/lint/${source}.stamp)
  get_filename_component(folder ${stamp} DIRECTORY)
  file(MAKE_DIRECTORY ${folder})
  add_custom_command(OUTPUT ${stamp}
    COMMAND ${CLANG_FORMAT} --dry-run -Werror ${CMAKE_SOURCE_DIR}/${source}
    COMMAND ${CLANG_TIDY} -p ${CMAKE_BINARY_DIR} --quiet --extra-arg=-Wno-unknown-warning-option ${CMAKE_SOURCE_DIR}/${source}
    COMMAND ${CMAKE_COMMAND} -E touch ${stamp}
    DEPENDS ${CMAKE_SOURCE_DIR}/${source} ${lint_header_paths} ${CMAKE_SOURCE_DIR}/.clang-tidy
    COMMENT "lint ${source}" VERBATIM)
  list(APPEND lint_stamps ${stamp})
endforeach()
add_custom_target(lint DEPENDS ${lint_stamps})
