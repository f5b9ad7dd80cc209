# Precompiled headers: what nearly every file includes of other libraries is parsed once, which halves the time of a
# build. Only headers that are not ours: a change of ours should compile what includes it and nothing else. Every file
# still includes what it uses; the preset fuzz builds without, and so finds what is missing.

set(lockstep_std_headers <algorithm> <cstdint> <cstring> <functional> <map> <memory> <mutex> <optional> <string> <thread>
                         <utility> <vector>)
set(lockstep_absl_headers <absl/status/statusor.h> <absl/strings/str_cat.h> <absl/strings/str_format.h>
                          <absl/time/time.h> <absl/types/span.h>)

# lockstep_precompiled(kind [PROGRAM] [HEADERS ...] [DEPS ...] [OPTIONS ...]): a kind of precompiled headers: those above and HEADERS,
# with compiler options that must be those of the targets that use it. PROGRAM: for files of programs, not of libraries.
# It belongs to a target of its own: one with macros of its own would force them on all others.
function(lockstep_precompiled kind)
  cmake_parse_arguments(ARG "PROGRAM" "" "HEADERS;DEPS;OPTIONS" ${ARGN})
  if(NOT LOCKSTEP_PRECOMPILE)
    return()
  endif()
  set(target lockstep_precompiled_${kind})
  set(source ${PROJECT_BINARY_DIR}/${target}.cc)
  file(CONFIGURE OUTPUT ${source} CONTENT "int main() { return 0; }\n")
  if(ARG_PROGRAM)
    add_executable(${target} EXCLUDE_FROM_ALL ${source})
    target_link_options(${target} PRIVATE ${ARG_OPTIONS})
  else()
    add_library(${target} OBJECT EXCLUDE_FROM_ALL ${source})
  endif()
  target_compile_options(${target} PRIVATE ${ARG_OPTIONS})
  target_link_libraries(${target} PRIVATE ${ARG_DEPS} lockstep_flags)
  target_precompile_headers(${target} PRIVATE ${lockstep_std_headers} ${lockstep_absl_headers} ${ARG_HEADERS})
endfunction()

# lockstep_precompile(target kind): `target` uses them.
function(lockstep_precompile target kind)
  if(TARGET lockstep_precompiled_${kind})
    target_precompile_headers(${target} REUSE_FROM lockstep_precompiled_${kind})
  endif()
endfunction()

lockstep_precompiled(library)
lockstep_precompiled(schema HEADERS <google/protobuf/descriptor.h> <google/protobuf/text_format.h>)
if(LOCKSTEP_TESTS)
  set(lockstep_test_headers HEADERS <gmock/gmock.h> <gtest/gtest.h> DEPS GTest::gtest GTest::gmock)
  lockstep_precompiled(test PROGRAM ${lockstep_test_headers} OPTIONS $<$<CONFIG:Dev>:-O0>)
  lockstep_precompiled(busy_test PROGRAM ${lockstep_test_headers})
endif()
