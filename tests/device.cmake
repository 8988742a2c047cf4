spx_test(test_stream SOURCES device/test_stream.c LINK spx_device)
