# The PyTorch twin still gives the committed golden numbers; skipped (77) without torch or h5py.
find_program(SPX_PYTHON NAMES python3 PATHS /usr/bin NO_DEFAULT_PATH) # where apt puts torch
find_program(SPX_PYTHON NAMES python3)
if(SPX_PYTHON)
  add_test(NAME bench_twin
           COMMAND ${SPX_PYTHON} -B ${PROJECT_SOURCE_DIR}/scripts/bench/twin_check.py
                   ${PROJECT_SOURCE_DIR}/tests/golden)
  set_tests_properties(bench_twin PROPERTIES SKIP_RETURN_CODE 77 LABELS slow)
endif()
