#ifndef SPX_PI_PROXY_H
#define SPX_PI_PROXY_H
/* A proxy between the parties, over TCP: passes frames, can cut the connection,
 * shows each frame. */
#include "host/secure/channel/channel.h"
#include "tests/support/spx_test.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

typedef void (*pi_see)(void *ctx, bool to_server, uint32_t type, const unsigned char *payload,
                       size_t n);

typedef struct pi_proxy {
    int listening, port, server_port;
    long limit, seen; /* frames to pass before the cut; frames passed */
    pi_see see;       /* NULL: nobody looks */
    void *ctx;
    pthread_t thread;
} pi_proxy;

static inline bool pi_send_all(int to, const unsigned char *p, size_t n)
{
    while (n > 0) {
        const ssize_t put = send(to, p, n, MSG_NOSIGNAL);
        if (put <= 0) {
            return false;
        }
        p += put;
        n -= (size_t)put;
    }
    return true;
}

/* One frame; its format is the channel's: type, payload's length at 8. */
static inline bool pi_pass(pi_proxy *x, int from, int to, bool to_server)
{
    unsigned char head[SPX_CHANNEL_FRAME_BYTES], *payload;
    uint64_t n;
    uint32_t type;
    bool ok;
    if (recv(from, head, sizeof head, MSG_WAITALL) != (ssize_t)sizeof head) {
        return false;
    }
    memcpy(&type, head, 4);
    memcpy(&n, head + 8, 8);
    payload = malloc((size_t)n + 1);
    ok = payload != NULL && (n == 0 || recv(from, payload, (size_t)n, MSG_WAITALL) == (ssize_t)n) &&
         pi_send_all(to, head, sizeof head) && pi_send_all(to, payload, (size_t)n);
    if (ok && type != SPX_CHANNEL_ALIVE) { /* which come as the clock has it */
        x->seen++;
        if (x->see != NULL) {
            x->see(x->ctx, to_server, type, payload, (size_t)n);
        }
    }
    free(payload);
    return ok;
}

static inline void *pi_run_proxy(void *arg)
{
    pi_proxy *x = arg;
    struct sockaddr_in to = {.sin_family = AF_INET,
                             .sin_port = htons((uint16_t)x->server_port),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    const int client = accept(x->listening, NULL, NULL);
    const int server = socket(AF_INET, SOCK_STREAM, 0);
    bool open = connect(server, (struct sockaddr *)&to, sizeof to) == 0;
    while (open && x->seen < x->limit) {
        struct pollfd p[2] = {{.fd = client, .events = POLLIN}, {.fd = server, .events = POLLIN}};
        open = poll(p, 2, 20000) > 0;
        if (open && p[0].revents != 0) {
            open = pi_pass(x, client, server, true);
        } else if (open) {
            open = pi_pass(x, server, client, false);
        }
    }
    (void)close(client);
    (void)close(server);
    return NULL;
}

/* Fill see and ctx after it, then start the thread with pi_run_proxy. */
static inline void pi_proxy_begin(pi_proxy *x, int server_port, long limit)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t n = sizeof at;
    memset(x, 0, sizeof *x);
    x->limit = limit;
    x->server_port = server_port;
    x->listening = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(bind(x->listening, (struct sockaddr *)&at, sizeof at), 0);
    assert_int_equal(listen(x->listening, 1), 0);
    assert_int_equal(getsockname(x->listening, (struct sockaddr *)&at, &n), 0);
    x->port = ntohs(at.sin_port);
}

#endif
