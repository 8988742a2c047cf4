# golden_check FILE...: rebuilds what golden files describe with the engine, compares every number.
add_executable(golden_check
  golden_check/golden_check.c golden_check/golden_report.c golden_check/golden_file.c
  golden_check/golden_engine.c golden_check/golden_ops.c golden_check/golden_cell.c
  golden_check/golden_supernet.c golden_check/golden_final.c golden_check/golden_step.c)
target_link_libraries(golden_check PRIVATE spx_flags spx_bilevel spx_space spx_h5 m)

set(SPX_GOLDEN_DIR "${CMAKE_SOURCE_DIR}/../shared/golden" CACHE PATH
    "Folder of further golden files, checked where there is one")
file(GLOB own CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/golden/*.h5)
file(GLOB further CONFIGURE_DEPENDS ${SPX_GOLDEN_DIR}/*.h5)
foreach(file IN LISTS own)
  get_filename_component(name ${file} NAME_WE)
  add_test(NAME golden_${name} COMMAND golden_check ${file})
endforeach()
if(SPX_HAVE_CUDA OR SPX_CUDA_EMULATED)
  foreach(file IN LISTS own)
    get_filename_component(name ${file} NAME_WE)
    set(precisions f32 tf32 bf16)
    if(name STREQUAL aug_imagenet_train)
      list(REMOVE_ITEM precisions bf16) # norms of few values, one upon another: only noise is left
    endif()
    foreach(precision IN LISTS precisions)
      add_test(NAME golden_cuda_${precision}_${name}
        COMMAND golden_check --device=cuda --precision=${precision} ${file})
      set_tests_properties(golden_cuda_${precision}_${name} PROPERTIES SKIP_RETURN_CODE 77)
    endforeach()
  endforeach()
endif()
foreach(file IN LISTS further)
  get_filename_component(name ${file} NAME_WE)
  add_test(NAME golden_further_${name} COMMAND golden_check ${file})
  set_tests_properties(golden_further_${name} PROPERTIES LABELS slow)
endforeach()

spx_test(test_golden_check SOURCES golden_check/test_golden_check.c LINK spx_h5 LABELS slow)
add_dependencies(test_golden_check golden_check)
target_compile_definitions(test_golden_check PRIVATE
  GOLDEN_CHECK="$<TARGET_FILE:golden_check>" GOLDEN_DIR="${CMAKE_CURRENT_SOURCE_DIR}/golden")
