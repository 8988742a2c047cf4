# spx_room(NAME SOURCES file... [LINK target...]): a static library of one room, named spx_NAME;
# installed as sphynx::NAME. LINK may name only rooms defined before it.
function(spx_room name)
  cmake_parse_arguments(ROOM "" "" "SOURCES;LINK" ${ARGN})
  add_library(spx_${name} STATIC ${ROOM_SOURCES})
  target_link_libraries(spx_${name} PRIVATE $<BUILD_INTERFACE:spx_flags> PUBLIC ${ROOM_LINK})
  target_include_directories(spx_${name} PUBLIC
    $<BUILD_INTERFACE:${CMAKE_SOURCE_DIR}> $<INSTALL_INTERFACE:include/sphynx>)
  set_target_properties(spx_${name} PROPERTIES EXPORT_NAME ${name})
  set_property(GLOBAL APPEND PROPERTY SPX_ROOMS spx_${name})
endfunction()
