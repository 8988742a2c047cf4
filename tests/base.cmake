foreach(file status alloc rng cpu)
  spx_test(test_${file} SOURCES base/test_${file}.c LINK spx_base)
endforeach()
spx_test(test_pool SOURCES base/test_pool.c LINK spx_base LABELS threads)
