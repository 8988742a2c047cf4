# spx_test(NAME SOURCES file... [LINK target...] [LABELS label...]): a cmocka program run by CTest
# as NAME. Labels: threads (worth a run under ThreadSanitizer), slow (too long for the sanitizers).
function(spx_test name)
  cmake_parse_arguments(T "" "" "SOURCES;LINK;LABELS" ${ARGN})
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
endfunction()
