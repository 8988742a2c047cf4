spx_test(test_aes SOURCES crypto/test_aes.c LINK spx_crypto)
spx_test(test_prg SOURCES crypto/test_prg.c LINK spx_crypto)
spx_test(test_secret_memory SOURCES crypto/test_secret_memory.c LINK spx_crypto)
