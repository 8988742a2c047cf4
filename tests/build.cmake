find_package(Python3 COMPONENTS Interpreter)
if(Python3_FOUND)
  add_test(NAME lint_catches_what_is_planted
           COMMAND ${Python3_EXECUTABLE} ${CMAKE_SOURCE_DIR}/scripts/lint --self-test)
endif()
add_test(NAME installed_tree_serves_a_program_outside
         COMMAND ${CMAKE_CURRENT_SOURCE_DIR}/build/test_install.sh ${CMAKE_BINARY_DIR}
                 ${CMAKE_C_COMPILER})
set_tests_properties(installed_tree_serves_a_program_outside PROPERTIES LABELS slow)
add_test(NAME gpu_check_on_a_made_up_gpu
         COMMAND ${CMAKE_CURRENT_SOURCE_DIR}/build/test_gpu_check.sh)
set_tests_properties(gpu_check_on_a_made_up_gpu PROPERTIES LABELS slow SKIP_RETURN_CODE 77)
if(CMAKE_BUILD_TYPE STREQUAL "Release" AND NOT SPX_SANITIZE)
  set(hardening full)
else()
  set(hardening loader) # debug builds and sanitizers leave the rest out
endif()
add_test(NAME programs_are_hardened
         COMMAND ${CMAKE_CURRENT_SOURCE_DIR}/build/test_hardening.sh ${CMAKE_BINARY_DIR}
                 ${hardening})
find_program(git_program git)
if(git_program)
  add_test(NAME some_tests_are_selected
           COMMAND ${CMAKE_CURRENT_SOURCE_DIR}/build/test_selection.sh)
endif()
