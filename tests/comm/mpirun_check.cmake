# Runs a command as ranks under a real mpirun and checks how it ends:
#   cmake -DMPIRUN=... -DRANKS=n -DCODE=0 -DPASS=regex "-DCOMMAND=program|argument|..." -P mpirun_check.cmake
# CODE is the exit code that is wanted ("any" but 0: fail), PASS what must be printed.
if(NOT MPIRUN)
  message("skipped: there is no mpirun on this machine (apt-get install openmpi-bin)")
  return()
endif()
if(NEEDS_MPI AND NOT HAS_MPI)
  message("skipped: Lockstep was built without an MPI library (apt-get install libopenmpi-dev)")
  return()
endif()
string(REPLACE "|" ";" COMMAND "${COMMAND}")
execute_process(COMMAND ${MPIRUN} -np ${RANKS} ${COMMAND}
                RESULT_VARIABLE code OUTPUT_VARIABLE output ERROR_VARIABLE output)
message("${output}")
if(CODE STREQUAL "any" AND code EQUAL 0 OR NOT CODE STREQUAL "any" AND NOT code STREQUAL CODE)
  message(FATAL_ERROR "mpirun ended with ${code}, not ${CODE}")
endif()
if(NOT output MATCHES "${PASS}")
  message(FATAL_ERROR "nothing printed matches: ${PASS}")
endif()
