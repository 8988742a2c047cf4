typedef int spx_conv2d_empty;
