# Installs the build into a fresh prefix, builds install_consumer against it, and trains a few steps with its program.
#   cmake -DBUILD=<build folder> -DSOURCE=<source folder> -DGENERATOR=<generator> -P install_test.cmake

set(work ${BUILD}/tests/install_test)
file(REMOVE_RECURSE ${work})

function(run what)
  execute_process(COMMAND ${ARGN} RESULT_VARIABLE code OUTPUT_VARIABLE output ERROR_VARIABLE output
                  WORKING_DIRECTORY ${SOURCE})
  if(NOT code EQUAL 0)
    message(FATAL_ERROR "${what} failed (${code}):\n${output}")
  endif()
endfunction()

run("Installing" ${CMAKE_COMMAND} --install ${BUILD} --prefix ${work}/prefix)
run("The installed program" ${work}/prefix/bin/lockstep version)
run("Configuring the consumer" ${CMAKE_COMMAND} -S ${SOURCE}/tests/house/install_consumer -B ${work}/consumer
    -G ${GENERATOR} -DCMAKE_BUILD_TYPE=Debug -DCMAKE_PREFIX_PATH=${work}/prefix
    -DOWN_MODEL_SOURCE=${SOURCE}/examples/own_model.cc)
run("Building the consumer" ${CMAKE_COMMAND} --build ${work}/consumer)
run("Training with the consumer's model" ${work}/consumer/own_model train examples/own_model.textproto
    --out ${work}/run --steps 3 --set execution.threads=1)

file(READ ${work}/run/result.json result)
string(JSON steps GET "${result}" steps)
if(NOT steps EQUAL 3)
  message(FATAL_ERROR "The consumer trained ${steps} steps instead of 3:\n${result}")
endif()
file(REMOVE_RECURSE ${work})
