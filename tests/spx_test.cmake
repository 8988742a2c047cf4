# spx_test(NAME SOURCES file... [LINK target...] [LABELS label...] [DEVICES]): a cmocka program run
# by CTest as NAME. Labels: threads (worth a run under ThreadSanitizer), slow (too long for the
# sanitizers). DEVICES: its cases run on every device (tests/support/spx_devices.h), on the CPU as
# NAME and, where CUDA is built, as NAME_cuda.
function(spx_test name)
  cmake_parse_arguments(T "DEVICES" "" "SOURCES;LINK;LABELS" ${ARGN})
  add_executable(${name} ${T_SOURCES})
  target_link_libraries(${name} PRIVATE spx_flags ${T_LINK})
  if(SPX_ENGINE_ONLY) # with no library but libc: tests/support/spx_cmocka.h stands in
    target_compile_definitions(${name} PRIVATE SPX_WITHOUT_CMOCKA)
    target_link_libraries(${name} PRIVATE m)
  else()
    target_link_libraries(${name} PRIVATE PkgConfig::CMOCKA)
  endif()
  add_test(NAME ${name} COMMAND ${name})
  set_tests_properties(${name} PROPERTIES SKIP_RETURN_CODE 77 LABELS "${T_LABELS}")
  if(T_DEVICES)
    set_tests_properties(${name} PROPERTIES ENVIRONMENT SPX_TEST_DEVICES=cpu)
    if(SPX_HAVE_CUDA OR SPX_CUDA_EMULATED)
      add_test(NAME ${name}_cuda COMMAND ${name})
      set_tests_properties(${name}_cuda PROPERTIES SKIP_RETURN_CODE 77
                           ENVIRONMENT SPX_TEST_DEVICES=cuda)
    endif()
  endif()
endfunction()

# spx_test_rooms(ROOM...): includes <room>.cmake of each, and writes which tests it registers into
# rooms.txt of the build's folder, a line "room test" each: scripts/test --changed reads it.
function(spx_test_rooms)
  set(lines "")
  foreach(room IN LISTS ARGN)
    get_property(before DIRECTORY PROPERTY TESTS)
    include(${CMAKE_CURRENT_SOURCE_DIR}/${room}.cmake)
    get_property(tests DIRECTORY PROPERTY TESTS)
    list(REMOVE_ITEM tests "" ${before})
    foreach(test IN LISTS tests)
      string(APPEND lines "${room} ${test}\n")
    endforeach()
  endforeach()
  file(WRITE ${CMAKE_CURRENT_BINARY_DIR}/rooms.txt "${lines}")
endfunction()
