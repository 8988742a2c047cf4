spx_test(test_ckpt SOURCES ckpt/test_ckpt.c LINK spx_ckpt)
spx_test(test_weights SOURCES ckpt/test_weights.c LINK spx_ckpt PkgConfig::HDF5)
