spx_test(test_schedule SOURCES train/test_schedule.c LINK spx_train)
spx_test(test_metrics SOURCES train/test_metrics.c LINK spx_train)
spx_test(test_loop SOURCES train/test_loop.c LINK spx_train)
