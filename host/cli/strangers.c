#include "host/cli/strangers.h"

#include <string.h>

/* The length of what two connections of one origin have in common: "127.0.0.1", "[2001:db8:1:2". */
static size_t origin(const char *address)
{
    size_t groups = 0, i = 0;
    if (address[0] != '[') {
        return strcspn(address, ":");
    }
    while (address[i] != '\0' && address[i] != ']' && (address[i] != ':' || ++groups < 4)) {
        i++;
    }
    return i;
}

static bool same_origin(const spx_channel *a, const spx_channel *b)
{
    const char *x = spx_channel_address(a), *y = spx_channel_address(b);
    const size_t n = origin(x);
    return n == origin(y) && memcmp(x, y, n) == 0;
}

static void take_out(spx_strangers *s, int i)
{
    s->n--;
    memmove(s->channel + i, s->channel + i + 1, (size_t)(s->n - i) * sizeof s->channel[0]);
}

void spx_strangers_join(spx_strangers *s, spx_channel *c)
{
    int of_address = 0;
    struct {
        int at;
        double silence;
    } all = {0, -1}, near = {0, -1}; /* who has been silent longest */
    (void)pthread_mutex_lock(&s->lock);
    for (int i = 0; i < s->n; i++) {
        const double silence = spx_channel_silence(s->channel[i]);
        if (silence > all.silence) {
            all.at = i;
            all.silence = silence;
        }
        if (same_origin(s->channel[i], c)) {
            of_address++;
            if (silence > near.silence) {
                near.at = i;
                near.silence = silence;
            }
        }
    }
    if (of_address >= SPX_STRANGERS_OF_ADDRESS || s->n == SPX_STRANGERS) {
        const int i = of_address >= SPX_STRANGERS_OF_ADDRESS ? near.at : all.at;
        spx_channel_cut(s->channel[i], "newer connections took its place before its hello");
        take_out(s, i);
    }
    s->channel[s->n++] = c;
    (void)pthread_mutex_unlock(&s->lock);
}

void spx_strangers_leave(spx_strangers *s, const spx_channel *c)
{
    (void)pthread_mutex_lock(&s->lock);
    for (int i = 0; i < s->n; i++) {
        if (s->channel[i] == c) {
            take_out(s, i);
            break;
        }
    }
    (void)pthread_mutex_unlock(&s->lock);
}
