#ifndef SPX_BASE_CLOCK_H
#define SPX_BASE_CLOCK_H

/** Seconds of a clock that never goes back; only differences mean anything. */
double spx_seconds(void);
/** Seconds for which the calling thread has run: what others take of a processor does not count. */
double spx_thread_seconds(void);

#endif
