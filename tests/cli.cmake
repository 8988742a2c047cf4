foreach(file options progress)
  spx_test(test_${file} SOURCES cli/test_${file}.c LINK spx_cli)
endforeach()
add_test(NAME cli_manners
         COMMAND ${CMAKE_CURRENT_SOURCE_DIR}/cli/test_manners.sh $<TARGET_FILE:sphynx>)
