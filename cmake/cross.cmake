# The runtime once more for each other machine whose C compiler is there: lib/TRIPLE/libkeratin_rt.a, which
# `keratin compile --target` links. Never instrumented.
file(GLOB_RECURSE cross_sources CONFIGURE_DEPENDS RELATIVE ${CMAKE_SOURCE_DIR} ${CMAKE_SOURCE_DIR}/runtime/*.c)
foreach(machine x86_64 aarch64)
  set(triple ${machine}-linux-gnu)
  find_program(CROSS_CC_${machine} ${triple}-gcc)
  find_program(CROSS_AR_${machine} ${triple}-ar)
  if(machine STREQUAL CMAKE_SYSTEM_PROCESSOR OR NOT CROSS_CC_${machine} OR NOT CROSS_AR_${machine})
    continue()
  endif()
  set(archive ${CMAKE_ARCHIVE_OUTPUT_DIRECTORY}/${triple}/libkeratin_rt.a)
  set(objects "")
  foreach(source ${cross_sources})
    set(object ${CMAKE_BINARY_DIR}/cross/${triple}/${source}.o)
    get_filename_component(folder ${object} DIRECTORY)
    file(MAKE_DIRECTORY ${folder})
    add_custom_command(OUTPUT ${object}
      COMMAND ${CROSS_CC_${machine}} -std=gnu11 -O2 -g -fPIC -Wall -Wextra -Werror -Wno-missing-field-initializers
        -ffunction-sections -fdata-sections -D_GNU_SOURCE -DKT_VERSION="${PROJECT_VERSION}" -I${CMAKE_SOURCE_DIR}
        -MD -MF ${object}.d -c ${CMAKE_SOURCE_DIR}/${source} -o ${object}
      DEPENDS ${CMAKE_SOURCE_DIR}/${source} DEPFILE ${object}.d COMMENT "${triple} ${source}" VERBATIM)
    list(APPEND objects ${object})
  endforeach()
  file(MAKE_DIRECTORY ${CMAKE_ARCHIVE_OUTPUT_DIRECTORY}/${triple})
  add_custom_command(OUTPUT ${archive} COMMAND ${CMAKE_COMMAND} -E rm -f ${archive}
    COMMAND ${CROSS_AR_${machine}} rcsD ${archive} ${objects} DEPENDS ${objects} COMMENT "${triple} runtime" VERBATIM)
  add_custom_target(keratin_runtime_${machine} ALL DEPENDS ${archive})
endforeach()
