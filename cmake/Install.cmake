# What `cmake --install` puts where: the command with its completions and manual page, both
# libraries, the headers, and what find_package(phial) and pkg-config need.
include(GNUInstallDirs)
include(CMakePackageConfigHelpers)

install(TARGETS phial RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
install(DIRECTORY include/phial DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})

# Two sets: whoever links the shared library need not have what the archive needs.
set_target_properties(phial_shared PROPERTIES EXPORT_NAME phial)
set(package_dir ${CMAKE_INSTALL_LIBDIR}/cmake/phial)
foreach(kind shared static)
  install(TARGETS phial_${kind} EXPORT phial-${kind}
          LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR}
          ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR}
          INCLUDES DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
  install(EXPORT phial-${kind} NAMESPACE phial:: DESTINATION ${package_dir})
endforeach()
configure_package_config_file(cmake/phialConfig.cmake.in ${CMAKE_BINARY_DIR}/phialConfig.cmake
                              INSTALL_DESTINATION ${package_dir})
# Before 1.0 a minor version may break what the one before promised.
write_basic_package_version_file(${CMAKE_BINARY_DIR}/phialConfigVersion.cmake
                                 COMPATIBILITY SameMinorVersion)
install(FILES ${CMAKE_BINARY_DIR}/phialConfig.cmake ${CMAKE_BINARY_DIR}/phialConfigVersion.cmake
        DESTINATION ${package_dir})

# Paths in them are relative to where they lie, so that the tree may be moved.
cmake_path(RELATIVE_PATH CMAKE_INSTALL_FULL_INCLUDEDIR
           BASE_DIRECTORY ${CMAKE_INSTALL_FULL_LIBDIR}/pkgconfig OUTPUT_VARIABLE PC_INCLUDEDIR)
foreach(name phial phial-static)
  configure_file(cmake/${name}.pc.in ${CMAKE_BINARY_DIR}/${name}.pc @ONLY)
  install(FILES ${CMAKE_BINARY_DIR}/${name}.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
endforeach()

# Written by the command itself, which has to run here.
if(NOT CMAKE_CROSSCOMPILING)
  set(shell_files "")
  # phial_shell_file(name folder arguments...)
  function(phial_shell_file name folder)
    set(file ${CMAKE_BINARY_DIR}/shell/${name})
    add_custom_command(OUTPUT ${file} COMMAND phial ${ARGN} > ${file} DEPENDS phial VERBATIM)
    install(FILES ${file} DESTINATION ${folder})
    set(shell_files ${shell_files} ${file} PARENT_SCOPE)
  endfunction()
  file(MAKE_DIRECTORY ${CMAKE_BINARY_DIR}/shell)
  phial_shell_file(phial ${CMAKE_INSTALL_DATADIR}/bash-completion/completions completion bash)
  phial_shell_file(_phial ${CMAKE_INSTALL_DATADIR}/zsh/site-functions completion zsh)
  phial_shell_file(phial.fish ${CMAKE_INSTALL_DATADIR}/fish/vendor_completions.d completion fish)
  phial_shell_file(phial.1 ${CMAKE_INSTALL_MANDIR}/man1 man)
  add_custom_target(phial_shell_files ALL DEPENDS ${shell_files})
endif()
