#ifndef SPX_CLI_STRANGERS_H
#define SPX_CLI_STRANGERS_H
/* Connections of which nobody knows yet whose they are: few; who keeps the server waiting goes. */
#include "host/secure/channel/channel.h"

#include <pthread.h>

#define SPX_STRANGERS 128           /* at a time */
#define SPX_STRANGERS_OF_ADDRESS 64 /* of them from one address (IPv6: from one /64) */

/** All zeros but the lock: empty. */
typedef struct spx_strangers {
    pthread_mutex_t lock;
    int n;
    spx_channel *channel[SPX_STRANGERS]; /* oldest first; borrowed */
} spx_strangers;

/** Adds c; where there are too many of its address, or in all, cuts the one of them that has been
 * silent longest: an honest client answers within a round trip. */
void spx_strangers_join(spx_strangers *s, spx_channel *c);
/** Before c is closed, or once it is known; one that was cut is gone already. */
void spx_strangers_leave(spx_strangers *s, const spx_channel *c);

#endif
