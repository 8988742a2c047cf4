foreach(file interrupt json_text jsonl run_dir)
  spx_test(test_${file} SOURCES control/test_${file}.c LINK spx_control)
endforeach()
