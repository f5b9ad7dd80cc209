# cmake --install: the program, the libraries, the headers lockstep/*.h, and what find_package(lockstep) needs.
# Users link lockstep::api (models of their own) or lockstep::launcher (the command line with them as well).

include(CMakePackageConfigHelpers)

set(lockstep_config_folder ${CMAKE_INSTALL_LIBDIR}/cmake/lockstep)

# Every library that lockstep_library made, apart from those that only tests and benchmarks use.
get_property(lockstep_made GLOBAL PROPERTY LOCKSTEP_LIBRARIES)
set(lockstep_installed)
foreach(target IN LISTS lockstep_made)
  get_target_property(folder ${target} SOURCE_DIR)
  if(NOT folder MATCHES "^${PROJECT_SOURCE_DIR}/(tests|scripts)(/|$)")
    list(APPEND lockstep_installed ${target})
  endif()
endforeach()

install(TARGETS ${lockstep_installed} EXPORT lockstepTargets ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR}
        COMPONENT development)
install(EXPORT lockstepTargets NAMESPACE lockstep:: DESTINATION ${lockstep_config_folder} COMPONENT development)
if(TARGET lockstep)
  install(TARGETS lockstep RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
endif()
if(EXISTS ${PROJECT_SOURCE_DIR}/runtime/api/include)
  install(DIRECTORY runtime/api/include/lockstep DESTINATION ${CMAKE_INSTALL_INCLUDEDIR} COMPONENT development)
endif()

configure_package_config_file(cmake/lockstepConfig.cmake.in ${PROJECT_BINARY_DIR}/lockstepConfig.cmake
                              INSTALL_DESTINATION ${lockstep_config_folder})
write_basic_package_version_file(${PROJECT_BINARY_DIR}/lockstepConfigVersion.cmake
                                 VERSION ${PROJECT_VERSION} COMPATIBILITY SameMinorVersion)
install(FILES ${PROJECT_BINARY_DIR}/lockstepConfig.cmake ${PROJECT_BINARY_DIR}/lockstepConfigVersion.cmake
              cmake/LockstepFindPlain.cmake
        DESTINATION ${lockstep_config_folder} COMPONENT development)
