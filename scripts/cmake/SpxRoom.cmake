# spx_room(NAME SOURCES file... [LINK target...]): a static library of one room, named spx_NAME.
function(spx_room name)
  cmake_parse_arguments(ROOM "" "" "SOURCES;LINK" ${ARGN})
  add_library(spx_${name} STATIC ${ROOM_SOURCES})
  target_link_libraries(spx_${name} PRIVATE spx_flags PUBLIC ${ROOM_LINK})
  target_include_directories(spx_${name} PUBLIC $<BUILD_INTERFACE:${CMAKE_SOURCE_DIR}>)
endfunction()
