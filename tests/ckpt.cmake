spx_test(test_ckpt SOURCES ckpt/test_ckpt.c LINK spx_ckpt)
