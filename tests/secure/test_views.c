/*
 * What each party sees does not depend on the other's secret: everything that passes is recorded
 * for very different images and for very different weights, and must look uniform, have the same
 * lengths and never come twice. Statistics cannot prove security; they find forgotten masks.
 */
#define _DEFAULT_SOURCE
#include "host/secure/infer/pi_private.h"
#include "tests/secure/pi_fixture.h"
#include "tests/secure/pi_proxy.h"

#include <limits.h>

#define CLASSES 10
#define TYPES (SPX_PI_LOGITS + 1)

/* Bytes of one type of message: their frequencies, lengths, and a digest of each message. */
typedef struct view {
    uint64_t byte[TYPES][256], total[TYPES];
    size_t length[TYPES][4096];
    int messages[TYPES];
    uint64_t digest[TYPES][4096];
} view;

static uint64_t digest(const unsigned char *p, size_t n)
{
    uint64_t h = 0xcbf29ce484222325u;
    for (size_t i = 0; i < n; i++) {
        h = (h ^ p[i]) * 0x100000001b3u;
    }
    return h;
}

static void look(void *ctx, bool to_server, uint32_t type, const unsigned char *p, size_t n)
{
    view *v = ctx;
    (void)to_server;
    if (type < TYPES && v->messages[type] < 4096) {
        v->length[type][v->messages[type]] = n;
        v->digest[type][v->messages[type]++] = digest(p, n);
        v->total[type] += n;
        for (size_t i = 0; i < n; i++) {
            v->byte[type][p[i]]++;
        }
    }
}

/* Prepares and asks `queries` times about one image, everything passing before v. */
static void watch(pi_world *w, spx_vault *vault, const uint8_t *image, int queries, view *v)
{
    spx_listener *l;
    spx_pi_client *p;
    pi_link link = {.w = w};
    pi_proxy x;
    char address[64];
    int64_t logits[CLASSES];
    CHECK_OK(spx_listener_open(&l, "127.0.0.1:0", &w->channel));
    pi_proxy_begin(&x, spx_listener_port(l), LONG_MAX);
    x.see = look;
    x.ctx = v;
    assert_int_equal(pthread_create(&x.thread, NULL, pi_run_proxy, &x), 0);
    (void)snprintf(address, sizeof address, "127.0.0.1:%d", x.port);
    CHECK_OK(spx_channel_connect(&link.client, address, &w->channel));
    CHECK_OK(spx_listener_accept(l, &link.server));
    assert_int_equal(pthread_create(&link.thread, NULL, pi_serve_thread, &link), 0);
    CHECK_OK(spx_pi_client_open(&p, link.client, vault, NULL));
    CHECK_OK(spx_pi_client_prepare(p, (uint64_t)queries, NULL, NULL, NULL, NULL, NULL));
    for (int i = 0; i < queries; i++) {
        CHECK_OK(spx_pi_client_infer(p, image, logits, NULL, NULL, NULL));
    }
    spx_pi_client_close(p);
    pi_hang_up(&link);
    assert_int_equal(pthread_join(x.thread, NULL), 0);
    (void)close(x.listening);
    spx_listener_close(l);
}

/*
 * Chi-square of the bytes against the uniform distribution, 255 degrees of freedom, as a standard
 * normal (Wilson and Hilferty). Beyond 6 in size the odds are 2e-9 a type, so that a failure means
 * a lack of randomness, not bad luck.
 */
static double uniformity(const view *v, int type)
{
    const double expected = (double)v->total[type] / 256;
    double chi = 0;
    for (int i = 0; i < 256; i++) {
        const double d = (double)v->byte[type][i] - expected;
        chi += d * d / expected;
    }
    return (cbrt(chi / 255) - (1 - 2.0 / (9 * 255))) / sqrt(2.0 / (9 * 255));
}

/* Messages whose every bit is uniform by design. Requests, keys, responses and tables are checked
 * by their own tests: they have fields narrower than a byte, or parts that are public. */
static const int uniform[] = {SPX_PI_START,  SPX_PI_EXTEND, SPX_PI_SHARE,
                              SPX_PI_CHOICE, SPX_PI_LABELS, SPX_PI_TABLES};

static void check_uniform(const view *v)
{
    for (size_t i = 0; i < sizeof uniform / sizeof uniform[0]; i++) {
        const int type = uniform[i];
        if (v->total[type] >= 256 * 5) {
            const double z = uniformity(v, type);
            if (!(fabs(z) < 6)) {
                fail_msg("message %d: bytes are %.1f sigma from uniform", type, z);
            }
        }
    }
    assert_true(v->total[SPX_PI_SHARE] >= 256 * 5);
    assert_true(v->total[SPX_PI_CHOICE] >= 256 * 5);
}

static void check_fresh(const view *v)
{
    for (int type = SPX_PI_START; type < TYPES; type++) {
        for (int i = 0; i < v->messages[type] && type != SPX_PI_READY && type != SPX_PI_STORED;
             i++) {
            for (int k = 0; k < i; k++) {
                if (v->length[type][i] > 8) {
                    assert_true(v->digest[type][i] != v->digest[type][k]);
                }
            }
        }
    }
}

static void check_lengths(const view *a, const view *b)
{
    for (int type = 0; type < TYPES; type++) {
        assert_int_equal(a->messages[type], b->messages[type]);
        for (int i = 0; i < a->messages[type]; i++) {
            assert_int_equal(a->length[type][i], b->length[type][i]);
        }
    }
}

SPX_TEST(the_servers_view_does_not_depend_on_the_image)
{
    SPX_UNUSED;
    view *v[2];
    pi_world w;
    pi_begin(&w, 21, NULL);
    spx_vault *vault = pi_vault(&w, "client");
    for (int i = 0; i < 2; i++) {
        uint8_t *image = fixture_image(&w.fixture, w.model);
        memset(image, i == 0 ? 0 : 255, spx_deploy_count(w.model, 0));
        v[i] = calloc(1, sizeof *v[i]);
        assert_non_null(v[i]);
        watch(&w, vault, image, 6, v[i]);
        check_uniform(v[i]);
        check_fresh(v[i]);
    }
    check_lengths(v[0], v[1]);
    free(v[0]);
    free(v[1]);
    spx_vault_close(vault);
    pi_end(&w);
}

SPX_TEST(the_clients_view_does_not_depend_on_the_weights)
{
    SPX_UNUSED;
    view *v[2];
    for (int i = 0; i < 2; i++) {
        pi_world w;
        pi_begin(&w, 22 + (uint64_t)i, NULL); /* other weights, the same shapes and widths */
        spx_vault *vault = pi_vault(&w, "client");
        v[i] = calloc(1, sizeof *v[i]);
        assert_non_null(v[i]);
        watch(&w, vault, fixture_image(&w.fixture, w.model), 4, v[i]);
        check_uniform(v[i]);
        check_fresh(v[i]);
        spx_vault_close(vault);
        pi_end(&w);
    }
    check_lengths(v[0], v[1]);
    free(v[0]);
    free(v[1]);
}

/* The last message: the client's own share is known to it, so the server's must be exactly the
 * difference from the logits in the logits' ring; a bit above it would tell of the weights. */
static int logit_ring;
static bool logits_fit;

static void look_at_logits(void *ctx, bool to_server, uint32_t type, const unsigned char *p,
                           size_t n)
{
    (void)ctx;
    (void)to_server;
    for (size_t i = 0; type == SPX_PI_LOGITS && i + 8 <= n; i += 8) {
        int64_t x;
        memcpy(&x, p + i, 8);
        logits_fit = logits_fit && x == spx_pi_signed((uint64_t)x, logit_ring);
    }
}

SPX_TEST(the_logits_message_has_no_bit_above_their_ring)
{
    SPX_UNUSED;
    spx_listener *l;
    spx_pi_client *p;
    pi_world w;
    pi_proxy x;
    char address[64];
    int64_t logits[CLASSES];
    pi_begin(&w, 24, NULL);
    pi_link link = {.w = &w};
    spx_vault *vault = pi_vault(&w, "client");
    logit_ring = w.model->value[w.model->logits].ring;
    logits_fit = true;
    assert_true(logit_ring < 64);
    CHECK_OK(spx_listener_open(&l, "127.0.0.1:0", &w.channel));
    pi_proxy_begin(&x, spx_listener_port(l), LONG_MAX);
    x.see = look_at_logits;
    assert_int_equal(pthread_create(&x.thread, NULL, pi_run_proxy, &x), 0);
    (void)snprintf(address, sizeof address, "127.0.0.1:%d", x.port);
    CHECK_OK(spx_channel_connect(&link.client, address, &w.channel));
    CHECK_OK(spx_listener_accept(l, &link.server));
    assert_int_equal(pthread_create(&link.thread, NULL, pi_serve_thread, &link), 0);
    CHECK_OK(spx_pi_client_open(&p, link.client, vault, NULL));
    CHECK_OK(spx_pi_client_prepare(p, 2, NULL, NULL, NULL, NULL, NULL));
    for (int i = 0; i < 2; i++) {
        CHECK_OK(
            spx_pi_client_infer(p, fixture_image(&w.fixture, w.model), logits, NULL, NULL, NULL));
    }
    spx_pi_client_close(p);
    pi_hang_up(&link);
    assert_int_equal(pthread_join(x.thread, NULL), 0);
    (void)close(x.listening);
    spx_listener_close(l);
    assert_true(logits_fit);
    spx_vault_close(vault);
    pi_end(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        SPX_UNIT(the_servers_view_does_not_depend_on_the_image),
        SPX_UNIT(the_clients_view_does_not_depend_on_the_weights),
        SPX_UNIT(the_logits_message_has_no_bit_above_their_ring),
    };
    (void)signal(SIGPIPE, SIG_IGN);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
