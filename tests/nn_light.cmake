# The ops of spx_nn_light, one program each.
foreach(op norm_sum pool2d linear loss softmax relu drop_mask)
  spx_test(test_${op} SOURCES nn/test_${op}.c LINK spx_nn_light LABELS threads)
endforeach()
