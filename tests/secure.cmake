spx_test(test_channel SOURCES secure/test_channel.c LINK spx_channel LABELS threads)
spx_test(test_vault SOURCES secure/test_vault.c LINK spx_vault)
spx_test(test_ot SOURCES secure/test_ot.c LINK spx_ot)
spx_test(test_gc SOURCES secure/test_gc.c secure/gc_twin.c LINK spx_gc spx_ot LABELS threads)
# The garbler itself, built to tell each hash it makes.
spx_test(test_gc_trace SOURCES secure/test_gc_trace.c ../host/secure/gc/gc.c
         ../host/secure/gc/gc_evaluate.c ../host/secure/gc/gc_garble.c LINK spx_crypto)
target_compile_definitions(test_gc_trace PRIVATE SPX_GC_TRACE=1)
include(CheckIncludeFile)
check_include_file(valgrind/memcheck.h SPX_HAVE_VALGRIND_H)
if(SPX_HAVE_VALGRIND_H AND NOT SPX_SANITIZE)
  add_executable(constant_time secure/constant_time.c)
  target_link_libraries(constant_time PRIVATE spx_flags spx_gc spx_ot)
  target_compile_definitions(constant_time PRIVATE SPX_HAVE_VALGRIND=1)
  add_test(NAME test_constant_time
           COMMAND ${CMAKE_CURRENT_LIST_DIR}/secure/constant_time.sh $<TARGET_FILE:constant_time>)
  set_tests_properties(test_constant_time PROPERTIES SKIP_RETURN_CODE 77)
endif()
spx_test(test_infer SOURCES secure/test_infer.c LINK spx_infer LABELS threads)
