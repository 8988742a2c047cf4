spx_test(test_channel SOURCES secure/test_channel.c LINK spx_channel LABELS threads)
spx_test(test_vault SOURCES secure/test_vault.c LINK spx_vault)
spx_test(test_ot SOURCES secure/test_ot.c LINK spx_ot)
spx_test(test_gc SOURCES secure/test_gc.c secure/gc_twin.c LINK spx_gc spx_ot LABELS threads)
