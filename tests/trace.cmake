# Times of kernels within replays: what is printed of them, and the tracer where CUPTI is.
spx_test(test_trace_report SOURCES trace/test_trace_report.c trace/trace_report.c)
if(SPX_HAVE_CUDA)
  find_path(SPX_CUPTI_INCLUDE cupti.h HINTS ${CUDAToolkit_INCLUDE_DIRS}
            ${CUDAToolkit_LIBRARY_ROOT}/extras/CUPTI/include)
  find_library(SPX_CUPTI_LIBRARY cupti HINTS ${CUDAToolkit_LIBRARY_DIR}
               ${CUDAToolkit_LIBRARY_ROOT}/extras/CUPTI/lib64)
  if(SPX_CUPTI_INCLUDE AND SPX_CUPTI_LIBRARY)
    add_library(cupti_trace MODULE trace/cupti_trace.c trace/trace_report.c)
    target_include_directories(cupti_trace SYSTEM PRIVATE ${SPX_CUPTI_INCLUDE}
                                                          ${CUDAToolkit_INCLUDE_DIRS})
    target_link_libraries(cupti_trace PRIVATE spx_flags ${SPX_CUPTI_LIBRARY} Threads::Threads)
    add_dependencies(test_trace_report cupti_trace)
    target_compile_definitions(test_trace_report PRIVATE
                               SPX_CUPTI_TRACE="$<TARGET_FILE:cupti_trace>")
    target_link_libraries(test_trace_report PRIVATE ${CMAKE_DL_LIBS})
  else()
    message(STATUS "  CUPTI not found: the tracer of scripts/gpu-check is not built")
  endif()
endif()
