spx_test(test_channel SOURCES secure/test_channel.c LINK spx_channel LABELS threads)
