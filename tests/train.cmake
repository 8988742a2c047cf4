spx_test(test_schedule SOURCES train/test_schedule.c LINK spx_train)
spx_test(test_metrics SOURCES train/test_metrics.c LINK spx_train)
spx_test(test_step_queue SOURCES train/test_step_queue.c LINK spx_train)
spx_test(test_device_text SOURCES train/test_device_text.c LINK spx_train)
spx_test(test_feed SOURCES train/test_feed.c LINK spx_train)
spx_test(test_loop SOURCES train/test_loop.c LINK spx_train)
spx_test(test_run SOURCES train/test_run.c LINK spx_train)
spx_test(test_trainer SOURCES train/test_trainer.c LINK spx_train)
spx_test(test_tuning_cache SOURCES train/test_tuning_cache.c LINK spx_train)
spx_test(test_private_cost SOURCES search/test_private_cost.c LINK spx_bilevel)
spx_test(test_relu_budget SOURCES search/test_relu_budget.c LINK spx_bilevel)
spx_test(test_supernet SOURCES search/test_supernet.c LINK spx_bilevel)
spx_test(test_final SOURCES search/test_final.c LINK spx_final)
spx_test(test_mask SOURCES search/test_mask.c LINK spx_final)
spx_test(test_teacher SOURCES search/test_teacher.c LINK spx_bilevel spx_final)
spx_test(test_bilevel SOURCES search/test_bilevel.c LINK spx_bilevel spx_ckpt)
spx_test(test_location SOURCES search/test_location.c LINK spx_location)
target_compile_definitions(test_bilevel PRIVATE SPX_GOLDEN="${CMAKE_CURRENT_SOURCE_DIR}/golden")

# Tests of whole runs make their own data.
add_executable(make_pack cli/make_pack.c)
target_link_libraries(make_pack PRIVATE spx_flags spx_pack)
add_executable(make_pictures cli/make_pictures.c)
target_link_libraries(make_pictures PRIVATE spx_flags spx_image)
add_test(NAME cli_runs COMMAND ${CMAKE_CURRENT_SOURCE_DIR}/cli/test_runs.sh
         $<TARGET_FILE:sphynx> $<TARGET_FILE:make_pack>)
add_test(NAME cli_evidence COMMAND ${CMAKE_CURRENT_SOURCE_DIR}/cli/test_evidence.sh
         $<TARGET_FILE:sphynx> $<TARGET_FILE:make_pack>)
add_test(NAME cli_finalists COMMAND ${CMAKE_CURRENT_SOURCE_DIR}/cli/test_finalists.sh
         $<TARGET_FILE:sphynx> $<TARGET_FILE:make_pack>)
set_tests_properties(cli_finalists PROPERTIES LABELS slow)
add_test(NAME cli_verbs COMMAND ${CMAKE_CURRENT_SOURCE_DIR}/cli/test_verbs.sh
         $<TARGET_FILE:sphynx> $<TARGET_FILE:make_pack>)
add_test(NAME kill_resume COMMAND ${CMAKE_CURRENT_SOURCE_DIR}/cli/kill_resume.sh
         $<TARGET_FILE:sphynx> $<TARGET_FILE:make_pack>)
set_tests_properties(kill_resume PROPERTIES LABELS slow)

if(SPX_HAVE_CUDA OR SPX_CUDA_EMULATED)
  add_test(NAME test_bilevel_cuda COMMAND test_bilevel cuda)
  add_test(NAME test_location_cuda COMMAND test_location cuda)
  add_test(NAME cli_devices COMMAND ${CMAKE_CURRENT_SOURCE_DIR}/cli/test_devices.sh
           $<TARGET_FILE:sphynx> $<TARGET_FILE:make_pack>)
  set_tests_properties(test_bilevel_cuda test_location_cuda cli_devices
                       PROPERTIES SKIP_RETURN_CODE 77)
endif()
