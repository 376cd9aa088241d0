# The runtime once more for what `keratin compile` links besides programs of this machine's C library, where the compiler
# for it is there: for other machines (--target) as lib/TRIPLE/libkeratin_rt.a, and with musl for this one (--libc=musl)
# as lib/musl/libkeratin_rt.a. Never instrumented. Programs that train are for this machine and glibc only.
file(GLOB_RECURSE cross_sources CONFIGURE_DEPENDS RELATIVE ${CMAKE_SOURCE_DIR} ${CMAKE_SOURCE_DIR}/runtime/*.c)
list(FILTER cross_sources EXCLUDE REGEX "^runtime/checkpoint/")
function(keratin_cross_runtime target folder compiler archiver)
  set(archive ${CMAKE_ARCHIVE_OUTPUT_DIRECTORY}/${folder}/libkeratin_rt.a)
  set(objects "")
  foreach(source ${cross_sources})
    set(object ${CMAKE_BINARY_DIR}/cross/${folder}/${source}.o)
    get_filename_component(directory ${object} DIRECTORY)
    file(MAKE_DIRECTORY ${directory})
    add_custom_command(OUTPUT ${object}
      COMMAND ${compiler} -std=gnu11 -O2 -g -fPIC -Wall -Wextra -Werror -Wno-missing-field-initializers
        -ffunction-sections -fdata-sections -D_GNU_SOURCE -DKT_VERSION="${PROJECT_VERSION}" -I${CMAKE_SOURCE_DIR}
        -MD -MF ${object}.d -c ${CMAKE_SOURCE_DIR}/${source} -o ${object}
      DEPENDS ${CMAKE_SOURCE_DIR}/${source} DEPFILE ${object}.d COMMENT "${folder} ${source}" VERBATIM)
    list(APPEND objects ${object})
  endforeach()
  file(MAKE_DIRECTORY ${CMAKE_ARCHIVE_OUTPUT_DIRECTORY}/${folder})
  add_custom_command(OUTPUT ${archive} COMMAND ${CMAKE_COMMAND} -E rm -f ${archive}
    COMMAND ${archiver} rcsD ${archive} ${objects} DEPENDS ${objects} COMMENT "${folder} runtime" VERBATIM)
  add_custom_target(${target} ALL DEPENDS ${archive})
  set(cross_runtimes ${cross_runtimes} ${folder} PARENT_SCOPE)
endfunction()

foreach(machine x86_64 aarch64)
  set(triple ${machine}-linux-gnu)
  find_program(CROSS_CC_${machine} ${triple}-gcc)
  find_program(CROSS_AR_${machine} ${triple}-ar)
  if(NOT machine STREQUAL CMAKE_SYSTEM_PROCESSOR AND CROSS_CC_${machine} AND CROSS_AR_${machine})
    keratin_cross_runtime(keratin_runtime_${machine} ${triple} ${CROSS_CC_${machine}} ${CROSS_AR_${machine}})
  endif()
endforeach()
find_program(MUSL_GCC musl-gcc)
if(MUSL_GCC)
  keratin_cross_runtime(keratin_runtime_musl musl ${MUSL_GCC} ${CMAKE_AR})
endif()
