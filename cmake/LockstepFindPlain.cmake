# For libraries that come without CMake files of their own. Also installed: lockstepConfig.cmake needs the same targets.

# lockstep_find_plain(NAME target header library [folders...]): an imported target; sets NAME_FOUND. `folders` are
# looked in first for the header.
function(lockstep_find_plain name target header library)
  find_path(${name}_INCLUDE_DIR ${header} HINTS ${ARGN})
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

# The libraries of this kind that Lockstep links.
macro(lockstep_find_all_plain)
  # Not through dnnl-config.cmake: Debian's asks for OpenCL, which the CPU library does not use.
  lockstep_find_plain(DNNL dnnl::dnnl dnnl.h dnnl)
  lockstep_find_plain(ISAL isal::isal isa-l/crc.h isal)
  lockstep_find_plain(ZSTD zstd::zstd zstd.h zstd)
  lockstep_find_plain(HWY hwy::hwy hwy/highway.h hwy)
  lockstep_find_plain(JPEG jpeg::jpeg jpeglib.h jpeg)
  lockstep_find_plain(PNG png::png png.h png)
  lockstep_find_plain(HWLOC hwloc::hwloc hwloc.h hwloc)
  # PMIx is what `mpirun` and `srun` offer to ranks that want to meet. Debian keeps its headers apart.
  lockstep_find_plain(PMIX pmix::pmix pmix.h pmix /usr/lib/${CMAKE_LIBRARY_ARCHITECTURE}/pmix2/include)
  # Optional: records on servers, and reads by io_uring.
  lockstep_find_plain(CURL curl::curl curl/curl.h curl)
  lockstep_find_plain(URING uring::uring liburing.h uring)
endmacro()
