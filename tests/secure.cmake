spx_test(test_channel SOURCES secure/test_channel.c LINK spx_channel LABELS threads)
spx_test(test_vault SOURCES secure/test_vault.c LINK spx_vault)
