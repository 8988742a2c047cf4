# The PyTorch twin still gives the committed golden numbers; skipped (77) without torch or h5py.
find_program(SPX_PYTHON NAMES python3 PATHS /usr/bin NO_DEFAULT_PATH) # where apt puts torch
find_program(SPX_PYTHON NAMES python3)
if(SPX_PYTHON)
  add_test(NAME bench_twin
           COMMAND ${SPX_PYTHON} -B ${PROJECT_SOURCE_DIR}/scripts/bench/twin_check.py
                   ${PROJECT_SOURCE_DIR}/tests/golden)
  set_tests_properties(bench_twin PROPERTIES SKIP_RETURN_CODE 77 LABELS slow)
  add_test(NAME bench_stats
           COMMAND ${SPX_PYTHON} -B ${CMAKE_CURRENT_SOURCE_DIR}/bench/stats_check.py)
  add_test(NAME bench_pages
           COMMAND ${CMAKE_CURRENT_SOURCE_DIR}/bench/test_pages.sh ${SPX_PYTHON})
  add_test(NAME bench_linearize
           COMMAND ${CMAKE_CURRENT_SOURCE_DIR}/bench/test_linearize.sh ${SPX_PYTHON}
                   $<TARGET_FILE:sphynx> $<TARGET_FILE:make_pack>)
  set_tests_properties(bench_linearize PROPERTIES LABELS slow)
  add_test(NAME bench_pareto
           COMMAND ${CMAKE_CURRENT_SOURCE_DIR}/bench/test_pareto.sh ${SPX_PYTHON})
  add_test(NAME bench_gpu_compare
           COMMAND ${CMAKE_CURRENT_SOURCE_DIR}/bench/test_gpu_compare.sh $<TARGET_FILE:sphynx>
                   ${SPX_PYTHON})
  set_tests_properties(bench_gpu_compare PROPERTIES LABELS slow)
endif()
