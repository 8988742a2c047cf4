foreach(file options progress)
  spx_test(test_${file} SOURCES cli/test_${file}.c LINK spx_cli)
endforeach()
foreach(script batches manners data networks)
  add_test(NAME cli_${script}
           COMMAND ${CMAKE_CURRENT_SOURCE_DIR}/cli/test_${script}.sh $<TARGET_FILE:sphynx>)
endforeach()
add_library(lacking_fs MODULE cli/lacking_fs.c)
add_test(NAME cli_files
         COMMAND ${CMAKE_CURRENT_SOURCE_DIR}/cli/test_files.sh $<TARGET_FILE:sphynx>
                 $<TARGET_FILE:make_pack> $<TARGET_FILE:lacking_fs>)
add_test(NAME cli_resume
         COMMAND ${CMAKE_CURRENT_SOURCE_DIR}/cli/test_resume.sh $<TARGET_FILE:sphynx>
                 $<TARGET_FILE:make_pack>)
add_test(NAME cli_stored
         COMMAND ${CMAKE_CURRENT_SOURCE_DIR}/cli/test_stored.sh $<TARGET_FILE:sphynx>
                 $<TARGET_FILE:make_pictures>)
add_test(NAME cli_recipes
         COMMAND ${CMAKE_CURRENT_SOURCE_DIR}/cli/test_recipes.sh $<TARGET_FILE:sphynx>
                 $<TARGET_FILE:make_pack>)
add_test(NAME cli_linearize
         COMMAND ${CMAKE_CURRENT_SOURCE_DIR}/cli/test_linearize.sh $<TARGET_FILE:sphynx>
                 $<TARGET_FILE:make_pack>)
add_test(NAME cli_teacher
         COMMAND ${CMAKE_CURRENT_SOURCE_DIR}/cli/test_teacher.sh $<TARGET_FILE:sphynx>
                 $<TARGET_FILE:make_pack>)
add_test(NAME cli_references
         COMMAND ${CMAKE_CURRENT_SOURCE_DIR}/cli/test_references.sh $<TARGET_FILE:sphynx>
                 $<TARGET_FILE:make_pack>)
add_test(NAME cli_relu_ops
         COMMAND ${CMAKE_CURRENT_SOURCE_DIR}/cli/test_relu_ops.sh $<TARGET_FILE:sphynx>
                 $<TARGET_FILE:make_pack>)
add_test(NAME cli_relu_budget
         COMMAND ${CMAKE_CURRENT_SOURCE_DIR}/cli/test_relu_budget.sh $<TARGET_FILE:sphynx>
                 $<TARGET_FILE:make_pack>)
add_test(NAME cli_masks
         COMMAND ${CMAKE_CURRENT_SOURCE_DIR}/cli/test_masks.sh $<TARGET_FILE:sphynx>
                 $<TARGET_FILE:make_pack>)
add_test(NAME cli_prune
         COMMAND ${CMAKE_CURRENT_SOURCE_DIR}/cli/test_prune.sh $<TARGET_FILE:sphynx>
                 $<TARGET_FILE:make_pack>)
add_test(NAME cli_private
         COMMAND ${CMAKE_CURRENT_SOURCE_DIR}/cli/test_private.sh $<TARGET_FILE:sphynx>
                 $<TARGET_FILE:make_pack>)
add_executable(stall_crowd cli/stall_crowd.c)
target_link_libraries(stall_crowd PRIVATE spx_flags spx_infer)
add_test(NAME cli_crowd
         COMMAND ${CMAKE_CURRENT_SOURCE_DIR}/cli/test_crowd.sh $<TARGET_FILE:sphynx>
                 $<TARGET_FILE:make_pack> $<TARGET_FILE:stall_crowd>)
set_tests_properties(cli_private cli_crowd PROPERTIES LABELS slow)
add_test(NAME cli_hostile
         COMMAND ${CMAKE_CURRENT_SOURCE_DIR}/cli/test_hostile.sh $<TARGET_FILE:sphynx>
                 $<TARGET_FILE:make_pack> ${CMAKE_CURRENT_SOURCE_DIR}/golden/aug_tiny.h5)
add_test(NAME cli_fixtures
         COMMAND ${CMAKE_CURRENT_SOURCE_DIR}/cli/test_fixtures.sh $<TARGET_FILE:sphynx>
                 ${CMAKE_CURRENT_SOURCE_DIR}/fixtures)
add_test(NAME cli_inputs
         COMMAND ${CMAKE_CURRENT_SOURCE_DIR}/cli/test_inputs.sh $<TARGET_FILE:sphynx>
                 $<TARGET_FILE:make_pack>)
set_tests_properties(cli_batches PROPERTIES SKIP_RETURN_CODE 77)

# Packs of pictures, held against PIL, numpy and h5py; skipped (77) without.
find_program(SPX_PYTHON NAMES python3 PATHS /usr/bin NO_DEFAULT_PATH) # where apt puts them
find_program(SPX_PYTHON NAMES python3)
add_executable(dump_pack cli/dump_pack.c)
target_link_libraries(dump_pack PRIVATE spx_flags spx_pack)
add_test(NAME cli_data_pictures
         COMMAND ${CMAKE_CURRENT_SOURCE_DIR}/cli/test_data_pictures.sh $<TARGET_FILE:sphynx>
                 $<TARGET_FILE:dump_pack> ${SPX_PYTHON})
add_test(NAME cli_data_kill
         COMMAND ${CMAKE_CURRENT_SOURCE_DIR}/cli/test_data_kill.sh $<TARGET_FILE:sphynx>
                 ${SPX_PYTHON})
add_test(NAME cli_reproduce
         COMMAND ${CMAKE_CURRENT_SOURCE_DIR}/cli/test_reproduce.sh $<TARGET_FILE:sphynx>
                 ${SPX_PYTHON})
add_test(NAME cli_data_model
         COMMAND ${CMAKE_CURRENT_SOURCE_DIR}/cli/test_data_model.sh $<TARGET_FILE:sphynx>
                 ${SPX_PYTHON})
set_tests_properties(cli_data_pictures cli_data_kill cli_data_model PROPERTIES SKIP_RETURN_CODE 77)
set_tests_properties(cli_data_pictures cli_data_kill cli_reproduce cli_relu_budget
                     PROPERTIES LABELS slow)
add_test(NAME cli_data_sources
         COMMAND ${CMAKE_CURRENT_SOURCE_DIR}/cli/test_data_sources.sh $<TARGET_FILE:sphynx>)
add_test(NAME cli_data_archives
         COMMAND ${CMAKE_CURRENT_SOURCE_DIR}/cli/test_data_archives.sh $<TARGET_FILE:sphynx>)
set_tests_properties(cli_data_archives PROPERTIES SKIP_RETURN_CODE 77)
add_test(NAME cli_photos
         COMMAND ${CMAKE_CURRENT_SOURCE_DIR}/cli/test_photos.sh $<TARGET_FILE:sphynx>
                 ${CMAKE_SOURCE_DIR}/scripts/data/photo-patch)
set_tests_properties(cli_photos PROPERTIES LABELS slow SKIP_RETURN_CODE 77)
