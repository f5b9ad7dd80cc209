# One helper for each kind of target, so that every folder's CMakeLists is a list of names.

# lockstep_library(NAME name SRCS ... [DEPS ...] [PRIVATE_DEPS ...] [PRECOMPILE kind])
# A library lockstep_<name>, usable as lockstep::<name>. DEPS are seen through its headers, PRIVATE_DEPS are not.
# PRECOMPILE: a kind of LockstepPrecompile.cmake other than `library`, or `none` (for compiler options of its own).
function(lockstep_library)
  cmake_parse_arguments(ARG "" "NAME;PRECOMPILE" "SRCS;DEPS;PRIVATE_DEPS" ${ARGN})
  set(target lockstep_${ARG_NAME})
  add_library(${target} STATIC ${ARG_SRCS})
  add_library(lockstep::${ARG_NAME} ALIAS ${target})
  target_include_directories(${target} PUBLIC $<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}>
                                              $<BUILD_INTERFACE:${PROJECT_BINARY_DIR}>)
  target_link_libraries(${target} PUBLIC ${ARG_DEPS}
                        PRIVATE ${ARG_PRIVATE_DEPS} $<BUILD_INTERFACE:lockstep_flags>)
  set_target_properties(${target} PROPERTIES EXPORT_NAME ${ARG_NAME})
  set_property(GLOBAL APPEND PROPERTY LOCKSTEP_LIBRARIES ${target})
  if(NOT ARG_PRECOMPILE)
    set(ARG_PRECOMPILE library)
  endif()
  lockstep_precompile(${target} ${ARG_PRECOMPILE})
endfunction()

# lockstep_executable(NAME name SRCS ... [DEPS ...]): a program in <build>/bin.
function(lockstep_executable)
  cmake_parse_arguments(ARG "" "NAME" "SRCS;DEPS" ${ARGN})
  add_executable(${ARG_NAME} ${ARG_SRCS})
  target_link_libraries(${ARG_NAME} PRIVATE ${ARG_DEPS} lockstep_flags)
  set_target_properties(${ARG_NAME} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/bin)
endfunction()

# What sanitizers need to know about the libraries that we use; for the environment of tests.
set(LOCKSTEP_SANITIZER_OPTIONS "TSAN_OPTIONS=suppressions=${PROJECT_SOURCE_DIR}/tests/tsan.supp"
                               "LSAN_OPTIONS=suppressions=${PROJECT_SOURCE_DIR}/tests/lsan.supp:print_suppressions=0")

# lockstep_test(NAME name SRCS ... [DEPS ...] [LABELS ...] [TIMEOUT seconds] [SERIAL])
# One GoogleTest program, one entry of ctest. SERIAL keeps it alone on the machine (real mpirun, several ranks). In the build
# type Dev its own files are compiled without optimisation, which is quicker, unless the folder sets LOCKSTEP_BUSY_TESTS,
# as those do whose tests compute much themselves.
function(lockstep_test)
  cmake_parse_arguments(ARG "SERIAL" "NAME;TIMEOUT" "SRCS;DEPS;LABELS" ${ARGN})
  if(NOT ARG_TIMEOUT)
    set(ARG_TIMEOUT 120)
  endif()
  add_executable(${ARG_NAME} ${ARG_SRCS})
  target_link_libraries(${ARG_NAME} PRIVATE ${ARG_DEPS} GTest::gtest GTest::gmock GTest::gtest_main lockstep_flags)
  target_compile_definitions(${ARG_NAME} PRIVATE LOCKSTEP_SOURCE_DIR="${PROJECT_SOURCE_DIR}"
                             LOCKSTEP_BINARY_DIR="${PROJECT_BINARY_DIR}")
  set_target_properties(${ARG_NAME} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/tests/bin)
  # With <string> precompiled, GCC 12 wrongly warns of temporaries in it that lists of strings are made of.
  target_compile_options(${ARG_NAME} PRIVATE
                         $<$<CXX_COMPILER_ID:GNU>:-Wno-array-bounds$<SEMICOLON>-Wno-stringop-overflow>)
  if(LOCKSTEP_BUSY_TESTS)
    lockstep_precompile(${ARG_NAME} busy_test)
  else()
    target_compile_options(${ARG_NAME} PRIVATE $<$<CONFIG:Dev>:-O0>)
    lockstep_precompile(${ARG_NAME} test)
  endif()
  add_test(NAME ${ARG_NAME} COMMAND ${ARG_NAME})
  set_tests_properties(${ARG_NAME} PROPERTIES TIMEOUT ${ARG_TIMEOUT} LABELS "${ARG_LABELS}"
                       ENVIRONMENT "${LOCKSTEP_SANITIZER_OPTIONS}")
  if(ARG_SERIAL)
    set_tests_properties(${ARG_NAME} PROPERTIES RUN_SERIAL ON)
  endif()
endfunction()
