/* stall_crowd PORT N DIR UP: N clients of a server on this machine, each with a unit of its own,
 * that ask and then say nothing any more; their states lie in DIR. UP gets how many of them were
 * told to go on and how large their material is at the server: "told bytes". Ends by a signal. */
#define _DEFAULT_SOURCE
#include "host/secure/infer/pi_client_private.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define MOST 256

typedef struct stalled {
    int number;
    const char *port, *folder;
    spx_channel *channel;
    uint64_t bytes, ready;
} stalled;

/* Everything up to READY; the rest of the program never speaks again. */
static spx_status ask(stalled *c)
{
    const spx_channel_options o = {.timeout = 60};
    spx_pi_command infer = {.verb = SPX_PI_INFER};
    char text[600], name[SPX_PI_NAME];
    spx_vault *v;
    spx_pi_client *p;
    spx_vault_reader *r;
    spx_pi_unit u;
    (void)snprintf(text, sizeof text, "%s/stalled%d", c->folder, c->number);
    SPX_RETURN_IF(spx_vault_open(&v, text));
    (void)snprintf(text, sizeof text, "127.0.0.1:%s", c->port);
    SPX_RETURN_IF(spx_channel_connect(&c->channel, text, &o));
    SPX_RETURN_IF(spx_pi_client_open(&p, c->channel, v, NULL));
    SPX_RETURN_IF(spx_pi_client_prepare(p, 1, NULL, NULL, NULL, NULL, NULL));
    c->bytes = spx_pi_plan_sizes(p->plan)->server_bytes;
    spx_pi_name(name, 'u', p->home, p->model->hash, 0);
    SPX_RETURN_IF(spx_vault_reader_open(&r, v, name));
    SPX_RETURN_IF(spx_pi_read(r, spx_pi_unit_fields, &u));
    spx_vault_reader_close(r);
    infer.start = u.key.start;
    SPX_RETURN_IF(spx_pi_send(c->channel, SPX_PI_COMMAND, spx_pi_command_fields, &infer));
    SPX_RETURN_IF(spx_channel_flush(c->channel));
    spx_channel_alive(c->channel, false);
    return spx_pi_recv(c->channel, SPX_PI_READY, spx_pi_number_fields, &c->ready);
}

static void *run(void *arg)
{
    if (ask(arg) != SPX_OK) {
        (void)fprintf(stderr, "stall_crowd: %s\n", spx_error_message());
    }
    return NULL;
}

int main(int argc, char **argv)
{
    static stalled c[MOST];
    pthread_t thread[MOST];
    const int n = argc == 5 ? atoi(argv[2]) : 0;
    uint64_t told = 0, bytes = 0;
    FILE *up;
    if (n < 1 || n > MOST) {
        return 2;
    }
    for (int i = 0; i < n; i++) {
        c[i] = (stalled){.number = i, .port = argv[1], .folder = argv[3]};
        if (pthread_create(&thread[i], NULL, run, &c[i]) != 0) {
            return 1;
        }
    }
    for (int i = 0; i < n; i++) {
        (void)pthread_join(thread[i], NULL);
        told += c[i].ready;
        bytes += c[i].bytes;
    }
    up = fopen(argv[4], "w");
    if (up == NULL ||
        fprintf(up, "%llu %llu\n", (unsigned long long)told, (unsigned long long)bytes) < 0 ||
        fclose(up) != 0) {
        return 1;
    }
    for (;;) {
        (void)pause();
    }
}
