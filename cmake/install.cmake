# cmake --install: what users hold, in bin/, lib/ and include/ of one prefix that may be moved afterwards. The compiler
# finds lib/ beside its own bin/ (codegen/link.c), so those are their names on every system.
include(CMakePackageConfigHelpers)
set(package lib/cmake/Keratin)
# Folders of the system that LLVM and HDF5 were linked from; nothing of the build tree.
set_target_properties(keratin keratin_library PROPERTIES INSTALL_RPATH_USE_LINK_PATH ON)
install(TARGETS keratin RUNTIME DESTINATION bin)
install(TARGETS keratin_library EXPORT KeratinTargets LIBRARY DESTINATION lib INCLUDES DESTINATION include)
set_target_properties(keratin_library PROPERTIES EXPORT_NAME keratin)
install(DIRECTORY ${CMAKE_SOURCE_DIR}/include/keratin DESTINATION include FILES_MATCHING PATTERN "*.h")

# What compiled programs link.
install(TARGETS keratin_runtime keratin_train ARCHIVE DESTINATION lib)
foreach(folder ${cross_runtimes})
  install(FILES ${CMAKE_ARCHIVE_OUTPUT_DIRECTORY}/${folder}/libkeratin_rt.a DESTINATION lib/${folder})
endforeach()
foreach(archive ${train_archives})
  get_filename_component(name ${archive} NAME)
  file(REAL_PATH ${archive} file)
  install(FILES ${file} DESTINATION lib/keratin RENAME ${name})
endforeach()

install(EXPORT KeratinTargets NAMESPACE Keratin:: DESTINATION ${package})
file(WRITE ${CMAKE_BINARY_DIR}/KeratinConfig.cmake
  "include(\${CMAKE_CURRENT_LIST_DIR}/KeratinTargets.cmake)\n")
write_basic_package_version_file(${CMAKE_BINARY_DIR}/KeratinConfigVersion.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${CMAKE_BINARY_DIR}/KeratinConfig.cmake ${CMAKE_BINARY_DIR}/KeratinConfigVersion.cmake
  DESTINATION ${package})
configure_file(${CMAKE_SOURCE_DIR}/cmake/keratin.pc.in ${CMAKE_BINARY_DIR}/keratin.pc @ONLY)
install(FILES ${CMAKE_BINARY_DIR}/keratin.pc DESTINATION lib/pkgconfig)
