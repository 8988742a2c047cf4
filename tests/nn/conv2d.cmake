spx_test(test_conv2d SOURCES nn/test_conv2d.c LINK spx_conv2d LABELS threads)
# The same cases through each instruction set that the kernels are compiled for.
foreach(isa avx2 portable)
  add_test(NAME test_conv2d_${isa} COMMAND test_conv2d)
  set_tests_properties(test_conv2d_${isa} PROPERTIES ENVIRONMENT SPHYNX_ISA=${isa})
endforeach()

add_executable(bench_conv2d nn/bench_conv2d.c)
target_link_libraries(bench_conv2d PRIVATE spx_flags spx_conv2d)
