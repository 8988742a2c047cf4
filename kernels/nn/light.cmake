spx_room(nn_light SOURCES nn_light_empty.c LINK spx_device m)
