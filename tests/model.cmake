spx_test(test_deploy SOURCES model/test_deploy.c LINK spx_model LABELS threads)
spx_test(test_fold SOURCES model/test_fold.c LINK spx_model spx_space)
spx_test(test_bound SOURCES model/test_bound.c LINK spx_model LABELS threads)
spx_test(test_dropped SOURCES model/test_dropped.c LINK spx_model spx_space)
spx_test(test_quantise SOURCES model/test_quantise.c LINK spx_model spx_space)
add_test(NAME cli_export COMMAND ${CMAKE_CURRENT_SOURCE_DIR}/cli/test_export.sh
         $<TARGET_FILE:sphynx> $<TARGET_FILE:make_pack>)
spx_test(test_export SOURCES model/test_export.c LINK spx_final)
