#ifndef SPX_BASE_CLOCK_H
#define SPX_BASE_CLOCK_H

/** Seconds of a clock that never goes back; only differences mean anything. */
double spx_seconds(void);

#endif
