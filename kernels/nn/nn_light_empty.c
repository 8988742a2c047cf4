typedef int spx_nn_light_empty;
