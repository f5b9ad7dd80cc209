# Every outside library, in one place. A missing one is named together with the Debian package that holds it.
# The list of Debian packages that the scripts install is scripts/packages.txt; keep both in step.

include(LockstepFindPlain)

function(lockstep_require found what package)
  if(NOT ${found})
    message(FATAL_ERROR "Lockstep needs ${what}, which was not found.\n"
                        "  Debian and Ubuntu: apt-get install ${package}\n"
                        "  (scripts/quickstart.sh installs everything that is missing.)")
  endif()
endfunction()

function(lockstep_suggest found what package)
  if(NOT ${found})
    message(STATUS "Left out, since its library was not found: ${what} (apt-get install ${package})")
  endif()
endfunction()

find_package(Threads REQUIRED)
find_package(absl QUIET)
lockstep_require(absl_FOUND "abseil" libabsl-dev)
find_package(Protobuf QUIET)
lockstep_require(Protobuf_FOUND "protobuf (library and protoc)" "libprotobuf-dev protobuf-compiler")
lockstep_find_all_plain()
lockstep_require(DNNL_FOUND "oneDNN" libdnnl-dev)
find_package(OpenSSL QUIET COMPONENTS Crypto)
lockstep_require(OPENSSL_FOUND "OpenSSL's libcrypto" libssl-dev)
find_package(nlohmann_json QUIET)
lockstep_require(nlohmann_json_FOUND "nlohmann-json" nlohmann-json3-dev)
find_package(spdlog QUIET)
lockstep_require(spdlog_FOUND "spdlog" libspdlog-dev)
find_package(CLI11 QUIET)
lockstep_require(CLI11_FOUND "CLI11" libcli11-dev)
lockstep_require(ISAL_FOUND "ISA-L" libisal-dev)
lockstep_require(ZSTD_FOUND "zstd" libzstd-dev)
lockstep_require(HWY_FOUND "Highway" libhwy-dev)
lockstep_require(JPEG_FOUND "libjpeg-turbo" libjpeg62-turbo-dev)
lockstep_require(PNG_FOUND "libpng" libpng-dev)
lockstep_require(HWLOC_FOUND "hwloc" libhwloc-dev)
lockstep_require(PMIX_FOUND "PMIx" libpmix-dev)
lockstep_suggest(CURL_FOUND "records on web servers and S3 (libcurl)" libcurl4-openssl-dev)
lockstep_suggest(URING_FOUND "reads by io_uring; threads do it instead" liburing-dev)
if(LOCKSTEP_MPI)
  # The MPI of MPI_C_COMPILER, else of the mpicc in PATH. The tests start its own mpirun: a library and another
  # library's launcher do not understand each other.
  find_package(MPI QUIET COMPONENTS C)
  lockstep_suggest(MPI_FOUND "the communication backend mpi" libopenmpi-dev)
endif()

if(LOCKSTEP_TESTS)
  get_filename_component(lockstep_mpirun "${MPI_C_COMPILER}" NAME)
  string(REPLACE mpicc mpirun lockstep_mpirun "${lockstep_mpirun}")  # mpicc.mpich: mpirun.mpich
  find_program(LOCKSTEP_MPIRUN NAMES ${lockstep_mpirun} mpirun DOC "Starts the ranks of tests")
  find_package(GTest QUIET)
  lockstep_require(GTest_FOUND "GoogleTest" "libgtest-dev libgmock-dev")
endif()
if(LOCKSTEP_BENCHMARKS)
  find_package(benchmark QUIET)
  lockstep_require(benchmark_FOUND "Google Benchmark" libbenchmark-dev)
endif()
