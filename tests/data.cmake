spx_test(test_augment SOURCES data/test_augment.c LINK spx_augment)
spx_test(test_pack SOURCES data/test_pack.c LINK spx_pack)
spx_test(test_loader SOURCES data/test_loader.c LINK spx_loader LABELS threads)
spx_test(test_split_halves SOURCES data/test_split_halves.c LINK spx_loader)
