# Every outside library, in one place. A missing one is named together with the Debian package that holds it.
# The list of Debian packages that the scripts install is scripts/packages.txt; keep both in step.

include(FindPackageHandleStandardArgs)
find_package(PkgConfig QUIET)

function(lockstep_require found what package)
  if(NOT ${found})
    message(FATAL_ERROR "Lockstep needs ${what}, which was not found.\n"
                        "  Debian and Ubuntu: apt-get install ${package}\n"
                        "  (scripts/quickstart.sh installs everything that is missing.)")
  endif()
endfunction()

# lockstep_find_plain(NAME TARGET header library): an imported target for a library without CMake or pkg-config files.
function(lockstep_find_plain name target header library)
  find_path(${name}_INCLUDE_DIR ${header})
  find_library(${name}_LIBRARY ${library})
  mark_as_advanced(${name}_INCLUDE_DIR ${name}_LIBRARY)
  if(${name}_INCLUDE_DIR AND ${name}_LIBRARY)
    set(${name}_FOUND TRUE PARENT_SCOPE)
    if(NOT TARGET ${target})
      add_library(${target} UNKNOWN IMPORTED GLOBAL)
      set_target_properties(${target} PROPERTIES IMPORTED_LOCATION ${${name}_LIBRARY}
                            INTERFACE_INCLUDE_DIRECTORIES ${${name}_INCLUDE_DIR})
    endif()
  endif()
endfunction()

find_package(Threads REQUIRED)
find_package(absl QUIET)
lockstep_require(absl_FOUND "abseil" libabsl-dev)
find_package(Protobuf QUIET)
lockstep_require(Protobuf_FOUND "protobuf (library and protoc)" "libprotobuf-dev protobuf-compiler")
# Not through dnnl-config.cmake: Debian's asks for OpenCL, which the CPU library does not use.
lockstep_find_plain(DNNL dnnl::dnnl dnnl.h dnnl)
lockstep_require(DNNL_FOUND "oneDNN" libdnnl-dev)
find_package(OpenSSL QUIET COMPONENTS Crypto)
lockstep_require(OPENSSL_FOUND "OpenSSL's libcrypto" libssl-dev)
find_package(nlohmann_json QUIET)
lockstep_require(nlohmann_json_FOUND "nlohmann-json" nlohmann-json3-dev)
find_package(spdlog QUIET)
lockstep_require(spdlog_FOUND "spdlog" libspdlog-dev)
find_package(CLI11 QUIET)
lockstep_require(CLI11_FOUND "CLI11" libcli11-dev)
lockstep_find_plain(ISAL isal::isal isa-l/crc.h isal)
lockstep_require(ISAL_FOUND "ISA-L" libisal-dev)
lockstep_find_plain(HWY hwy::hwy hwy/highway.h hwy)
lockstep_require(HWY_FOUND "Highway" libhwy-dev)
lockstep_find_plain(HWLOC hwloc::hwloc hwloc.h hwloc)
lockstep_require(HWLOC_FOUND "hwloc" libhwloc-dev)
# PMIx is what `mpirun` and `srun` offer to ranks that want to meet; without it ranks meet in the output folder.
lockstep_find_plain(PMIX pmix::pmix pmix.h pmix)

if(LOCKSTEP_TESTS)
  find_package(GTest QUIET)
  lockstep_require(GTest_FOUND "GoogleTest" "libgtest-dev libgmock-dev")
endif()
if(LOCKSTEP_BENCHMARKS)
  find_package(benchmark QUIET)
  lockstep_require(benchmark_FOUND "Google Benchmark" libbenchmark-dev)
endif()
