# Language, build types, warnings and sanitizers: everything that holds for every target.

set(CMAKE_CXX_STANDARD 20)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)

get_property(lockstep_multi_config GLOBAL PROPERTY GENERATOR_IS_MULTI_CONFIG)
if(NOT CMAKE_BUILD_TYPE AND NOT lockstep_multi_config)
  set(CMAKE_BUILD_TYPE Release CACHE STRING "Build type" FORCE)
endif()

# The build type Dev (assertions on, quick to compile, fast enough for the training tests) is made by the presets: CMake
# gives a type that it does not know empty flags before this file is read.

find_program(LOCKSTEP_CCACHE ccache)
if(LOCKSTEP_CCACHE)
  # Precompiled headers are good for ccache when it may trust what they depend on by contents.
  set(CMAKE_CXX_COMPILER_LAUNCHER ${CMAKE_COMMAND} -E env CCACHE_SLOPPINESS=pch_defines,time_macros ${LOCKSTEP_CCACHE})
  set(CMAKE_C_COMPILER_LAUNCHER ${LOCKSTEP_CCACHE})
endif()

# GCC's compiler collects garbage so often that it takes a tenth of the time; half a gigabyte for each is at hand.
add_compile_options("$<$<COMPILE_LANG_AND_ID:CXX,GNU>:--param=ggc-min-heapsize=524288>")

# Carried by every target of ours through lockstep_library and its sisters; never exported to users.
add_library(lockstep_flags INTERFACE)
target_compile_options(lockstep_flags INTERFACE
  -Wall -Wextra -Wnon-virtual-dtor -Wno-sign-compare
  -ffp-contract=off          # a compiler that fuses a*b+c where it likes would change bits; kernels fuse by name
  -fno-math-errno
  $<$<BOOL:${LOCKSTEP_WERROR}>:-Werror>)
if(NOT LOCKSTEP_SANITIZE)
  target_compile_options(lockstep_flags INTERFACE -fstack-protector-strong)
  target_compile_definitions(lockstep_flags INTERFACE $<$<CONFIG:Release>:_FORTIFY_SOURCE=2>)
else()
  # GCC 12 sees uninitialised members inside <regex> when it instruments (GCC bug 105562).
  target_compile_options(lockstep_flags INTERFACE $<$<CXX_COMPILER_ID:GNU>:-Wno-maybe-uninitialized>)
  add_compile_options(-fsanitize=${LOCKSTEP_SANITIZE} -fno-omit-frame-pointer -fno-sanitize-recover=all)
  add_link_options(-fsanitize=${LOCKSTEP_SANITIZE})
endif()
if(LOCKSTEP_LIBFUZZER)
  if(NOT CMAKE_CXX_COMPILER_ID MATCHES Clang)
    message(FATAL_ERROR "LOCKSTEP_LIBFUZZER needs clang: apt-get install clang libclang-rt-dev, then "
                        "cmake --preset fuzz")
  endif()
  add_compile_options(-fsanitize=fuzzer-no-link)
endif()
