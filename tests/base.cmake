foreach(file status alloc file file_write lock log text rng cpu wire)
  spx_test(test_${file} SOURCES base/test_${file}.c LINK spx_base)
endforeach()
spx_test(test_pool SOURCES base/test_pool.c LINK spx_base LABELS threads)
# The sanitizers' allocators end the program on an impossible size unless told to fail as libc does.
set_tests_properties(test_alloc PROPERTIES ENVIRONMENT
  "ASAN_OPTIONS=allocator_may_return_null=1;TSAN_OPTIONS=allocator_may_return_null=1")
