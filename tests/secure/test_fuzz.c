/*
 * Damaged conversations, models and files: both parties, at every message, answer with a status and
 * a line, and the server goes on with the next client. The damage follows from the seeds in
 * `corpus`, then from a seed that is another in every run: it is printed, and SPX_FUZZ_SEED repeats
 * it. How much damage there is, SPX_FUZZ_SECONDS says (default 4), shared by the tests here.
 * Nothing is asserted about time.
 */
#define _DEFAULT_SOURCE
#include "host/secure/infer/pi_private.h"
#include "kernels/base/alloc.h"
#include "kernels/base/clock.h"
#include "kernels/base/file.h"
#include "tests/secure/pi_fixture.h"
#include "tests/secure/pi_proxy.h"
#include "tests/support/fresh_seed.h"

#include <limits.h>
#include <unistd.h>

#define CLASSES 2
#define MOST_FRAMES 128
#define LEAST_ROUNDS 20

/* A seed that once made a test fail is added here, and stays. */
static const uint64_t corpus[] = {1};
#define CORPUS (sizeof corpus / sizeof corpus[0])

/* One frame of the honest conversation. */
typedef struct frame {
    bool to_server;
    uint32_t type;
    unsigned char *payload;
    size_t n;
} frame;

typedef struct recording {
    frame frame[MOST_FRAMES];
    int n;
} recording;

typedef struct fuzz {
    pi_world w;
    recording r;
    spx_rng rng;
    uint64_t stream;        /* of the generator: of this test */
    spx_listener *listener; /* whose connections wait as long as w.channel says */
    uint64_t number;        /* of the unit in play */
    double until;
} fuzz;

/* ---- the honest conversation ---- */

static void record(void *ctx, bool to_server, uint32_t type, const unsigned char *p, size_t n)
{
    recording *r = ctx;
    assert_true(r->n < MOST_FRAMES);
    frame *f = &r->frame[r->n++];
    *f = (frame){.to_server = to_server, .type = type, .payload = malloc(n + 1), .n = n};
    memcpy(f->payload, p, n);
}

/* Small, so that most of the time goes into conversations: two convolutions, a ReLU, a pool. */
static spx_deploy *make_model(deploy_fixture *f)
{
    spx_deploy *m;
    spx_rng_init(&f->rng, 1, SPX_RNG_TEST, 31);
    const int image = fixture_value(f, SPX_DEPLOY_IMAGE, 1, 3, 3);
    const int u = fixture_value(f, SPX_DEPLOY_LINEAR, 2, 2, 2);
    fixture_conv(f, image, u, 2, 1, 1, 0);
    fixture_bias(f, u);
    const int x = fixture_relu(f, u, 8);
    const int pooled = fixture_value(f, SPX_DEPLOY_LINEAR, 2, 1, 1);
    fixture_pool(f, x, pooled, 2, 1, 0, 2);
    const int logits = fixture_value(f, SPX_DEPLOY_LINEAR, CLASSES, 1, 1);
    fixture_conv(f, pooled, logits, 1, 1, 1, 0);
    fixture_bias(f, logits);
    const spx_deploy_draft draft = {.value = f->value,
                                    .op = f->op,
                                    .n_values = f->n_values,
                                    .n_ops = f->n_ops,
                                    .logits = logits,
                                    .logit_scale = 1};
    CHECK_OK(spx_deploy_create(&m, &draft, NULL));
    return m;
}

/* Prepares and asks once; the logits must be right where it succeeds. */
static spx_status talk(fuzz *z, spx_channel *c, spx_vault *v)
{
    const uint8_t image[9] = {1, 20, 255, 4, 50, 6, 170, 8, 99};
    int64_t got[CLASSES], want[CLASSES];
    spx_pi_client *p;
    SPX_RETURN_IF(spx_pi_client_open(&p, c, v, NULL));
    spx_status st = spx_pi_client_prepare(p, 1, NULL, NULL, NULL, NULL, NULL);
    if (st == SPX_OK) {
        st = spx_pi_client_infer(p, image, got, NULL, NULL, NULL);
    }
    if (st == SPX_OK && z != NULL) {
        pi_expected(&z->w, image, want);
        assert_memory_equal(got, want, sizeof got);
    }
    spx_pi_client_close(p);
    return st;
}

static void serve_one(fuzz *z, pi_link *l)
{
    *l = (pi_link){.w = &z->w};
    CHECK_OK(spx_listener_accept(z->listener, &l->server));
    assert_int_equal(pthread_create(&l->thread, NULL, pi_serve_thread, l), 0);
}

static void be_honest(fuzz *z, recording *r)
{
    pi_proxy x;
    pi_link l;
    spx_channel *c;
    char address[64];
    spx_vault *v = pi_vault(&z->w, "honest");
    pi_proxy_begin(&x, spx_listener_port(z->listener), LONG_MAX);
    x.see = r != NULL ? record : NULL;
    x.ctx = r;
    assert_int_equal(pthread_create(&x.thread, NULL, pi_run_proxy, &x), 0);
    (void)snprintf(address, sizeof address, "127.0.0.1:%d", x.port);
    CHECK_OK(spx_channel_connect(&c, address, &z->w.channel));
    serve_one(z, &l);
    CHECK_OK(talk(z, c, v));
    spx_channel_close(c);
    assert_int_equal(pthread_join(l.thread, NULL), 0);
    assert_int_equal(l.st, SPX_OK);
    assert_int_equal(pthread_join(x.thread, NULL), 0);
    (void)close(x.listening);
    spx_vault_close(v);
}

static uint64_t fresh_seed; /* of this run */

static int choose_seed(void **state)
{
    (void)state;
    fresh_seed = spx_fresh_seed();
    return 0;
}

/* Whether round i is to be: so many of every seed at least, then of the fresh one until time is up.
 * Each test has a stream of its own of every seed. */
static bool another(fuzz *z, size_t i, size_t rounds)
{
    if (i % rounds == 0 && i / rounds <= CORPUS) {
        const uint64_t seed = i / rounds < CORPUS ? corpus[i / rounds] : fresh_seed;
        spx_rng_init(&z->rng, seed, SPX_RNG_TEST, z->stream);
    }
    return i < rounds * (CORPUS + 1) || spx_seconds() < z->until;
}

static void begin(fuzz *z, uint64_t stream, double share)
{
    const spx_pi_server_options none = {0};
    const char *seconds = getenv("SPX_FUZZ_SECONDS");
    memset(z, 0, sizeof *z);
    z->stream = 32 + stream;
    z->until = spx_seconds() + share * (seconds != NULL ? atof(seconds) : 4);
    assert_int_equal(spx_scratch_make(&z->w.scratch), 0);
    z->w.channel.timeout = 20;
    z->w.model = make_model(&z->w.fixture);
    z->w.server_vault = pi_vault(&z->w, "server");
    CHECK_OK(spx_pi_server_create(&z->w.server, z->w.model, z->w.server_vault, &none));
    CHECK_OK(spx_listener_open(&z->listener, "127.0.0.1:0", &z->w.channel));
    be_honest(z, &z->r);
}

/* A party that waits in vain does so for so long; the honest ones are given time. */
static void set_patience(fuzz *z, bool honest)
{
    spx_listener_close(z->listener);
    z->w.channel.timeout = honest ? 20 : 0.5;
    CHECK_OK(spx_listener_open(&z->listener, "127.0.0.1:0", &z->w.channel));
}

static void end(fuzz *z)
{
    for (int i = 0; i < z->r.n; i++) {
        free(z->r.frame[i].payload);
    }
    spx_listener_close(z->listener);
    pi_end(&z->w);
}

/* ---- damage ---- */

static uint32_t below(fuzz *z, size_t n)
{
    return spx_rng_below(&z->rng, (uint32_t)n);
}

static void flip_bits(fuzz *z, unsigned char *p, size_t n)
{
    for (uint32_t k = 1 + below(z, 8); k > 0 && n > 0; k--) {
        p[below(z, n)] ^= (unsigned char)(1u << below(z, 8));
    }
}

static void put_words(fuzz *z, unsigned char *p, size_t n)
{
    static const uint64_t odd[] = {0,         1,          UINT64_MAX,           INT64_MAX,
                                   INT32_MAX, UINT32_MAX, (uint64_t)1 << 32,    4096,
                                   65536,     1u << 30,   (uint64_t)0x80000000, 1000000000000};
    const uint64_t v = odd[below(z, sizeof odd / sizeof odd[0])];
    const size_t width = below(z, 2) == 0 ? 4 : 8;
    if (n >= width) {
        memcpy(p + below(z, n / width) * width, &v, width);
    }
}

static void put_head(unsigned char *head, uint32_t type, uint64_t n)
{
    memset(head, 0, SPX_CHANNEL_FRAME_BYTES);
    memcpy(head, &type, sizeof type);
    memcpy(head + 8, &n, sizeof n);
}

/* Sends a frame with something wrong about it; false where the conversation ends with it. */
static bool send_damaged(fuzz *z, int to, const frame *f)
{
    unsigned char head[SPX_CHANNEL_FRAME_BYTES], *p = malloc(f->n + 1);
    size_t n = f->n;
    bool on = true;
    memcpy(p, f->payload, n);
    put_head(head, f->type, n);
    switch (below(z, 9)) {
    case 0:
        flip_bits(z, p, n);
        break;
    case 1:
        flip_bits(z, head, sizeof head);
        break;
    case 2: /* cut off */
        n = n > 0 ? below(z, n) : 0;
        on = false;
        break;
    case 3: /* a length that is not true */
        put_words(z, head + 8, 8);
        break;
    case 4:
        for (size_t i = 0; i < n; i++) {
            p[i] = (unsigned char)below(z, 256);
        }
        break;
    case 5:
        put_head(head, below(z, 26), n);
        break;
    case 6:
        memset(p, below(z, 2) == 0 ? 0 : 0xff, n);
        break;
    case 7:
        put_words(z, p, n);
        break;
    default: /* twice */
        on = pi_send_all(to, head, sizeof head) && pi_send_all(to, p, n);
        break;
    }
    on = pi_send_all(to, head, sizeof head) && pi_send_all(to, p, n) && on;
    free(p);
    return on;
}

/* Numbers that follow from what came before in this very conversation. */
static void renumber(fuzz *z, frame *f)
{
    const uint64_t verb = SPX_PI_INFER;
    if (f->type == SPX_PI_ALLOW || f->type == SPX_PI_STORED) {
        memcpy(f->payload, &z->number, sizeof z->number);
    } else if (f->type == SPX_PI_COMMAND && memcmp(f->payload, &verb, sizeof verb) == 0) {
        memcpy(f->payload + 8, &z->number, sizeof z->number);
    }
}

static bool send_frame(int to, const frame *f)
{
    unsigned char head[SPX_CHANNEL_FRAME_BYTES];
    put_head(head, f->type, f->n);
    return pi_send_all(to, head, sizeof head) && pi_send_all(to, f->payload, f->n);
}

/* Takes a frame from the party under test; its numbers are noted. */
static bool take_frame(fuzz *z, int from)
{
    unsigned char head[SPX_CHANNEL_FRAME_BYTES], *p;
    uint64_t n;
    uint32_t type;
    bool ok;
    if (recv(from, head, sizeof head, MSG_WAITALL) != (ssize_t)sizeof head) {
        return false;
    }
    memcpy(&type, head, sizeof type);
    memcpy(&n, head + 8, sizeof n);
    p = malloc((size_t)n + 1);
    assert_non_null(p); /* what the party under test sends is never absurd */
    ok = n == 0 || recv(from, p, (size_t)n, MSG_WAITALL) == (ssize_t)n;
    if (ok && type == SPX_PI_STORED && n == sizeof z->number) {
        memcpy(&z->number, p, sizeof z->number);
    }
    free(p);
    return ok && type != 0;
}

/* Plays one party of the recording, its frame number `bad` damaged or left out. */
static void play(fuzz *z, int fd, bool as_client, int bad)
{
    const struct timeval patience = {.tv_sec = 20};
    bool on = setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience) == 0;
    for (int i = 0; on && i < z->r.n; i++) {
        frame *f = &z->r.frame[i];
        if (f->to_server != as_client) {
            on = take_frame(z, fd);
        } else if (i != bad) {
            renumber(z, f);
            on = send_frame(fd, f);
        } else if (below(z, 10) > 0) {
            renumber(z, f);
            on = send_damaged(z, fd, f);
        }
    }
    (void)close(fd);
}

/* A frame of one party's; all are as likely. */
static int any_frame(fuzz *z, bool to_server)
{
    for (;;) {
        const int i = (int)below(z, (size_t)z->r.n);
        if (z->r.frame[i].to_server == to_server) {
            return i;
        }
    }
}

/* ---- the server ---- */

SPX_TEST(a_server_survives_damage_at_every_message)
{
    SPX_UNUSED;
    fuzz z;
    begin(&z, 1, 0.35);
    for (int i = 0; another(&z, (size_t)i, LEAST_ROUNDS); i++) {
        /* A few are played as they are: those must be answered, else the rest shows little. */
        const int bad = i % 16 == 0 ? -1 : any_frame(&z, true);
        set_patience(&z, bad < 0);
        struct sockaddr_in at = {.sin_family = AF_INET,
                                 .sin_port = htons((uint16_t)spx_listener_port(z.listener)),
                                 .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
        const int fd = socket(AF_INET, SOCK_STREAM, 0);
        pi_link l;
        assert_int_equal(connect(fd, (struct sockaddr *)&at, sizeof at), 0);
        serve_one(&z, &l);
        play(&z, fd, true, bad);
        assert_int_equal(pthread_join(l.thread, NULL), 0);
        assert_true(l.st == SPX_OK || l.message[0] != '\0');
        if (bad < 0) {
            assert_int_equal(l.st, SPX_OK);
            assert_int_equal(l.served.answered, 1);
        }
    }
    set_patience(&z, true);
    be_honest(&z, NULL);
    end(&z);
}

/* ---- the client ---- */

typedef struct impostor {
    fuzz *z;
    int listening, bad;
    pthread_t thread;
} impostor;

static void *run_impostor(void *arg)
{
    impostor *x = arg;
    const int fd = accept(x->listening, NULL, NULL);
    if (fd >= 0) {
        play(x->z, fd, false, x->bad);
    }
    return NULL;
}

SPX_TEST(a_client_survives_damage_at_every_message)
{
    SPX_UNUSED;
    fuzz z;
    pi_proxy x; /* for its socket */
    begin(&z, 2, 0.35);
    spx_vault *v = pi_vault(&z.w, "client");
    pi_proxy_begin(&x, 0, 0);
    for (int i = 0; another(&z, (size_t)i, LEAST_ROUNDS); i++) {
        impostor server = {.z = &z, .listening = x.listening};
        spx_channel *c;
        char address[64];
        z.number = (uint64_t)i;
        server.bad = i % 16 == 0 ? -1 : any_frame(&z, false);
        set_patience(&z, server.bad < 0);
        assert_int_equal(pthread_create(&server.thread, NULL, run_impostor, &server), 0);
        (void)snprintf(address, sizeof address, "127.0.0.1:%d", x.port);
        CHECK_OK(spx_channel_connect(&c, address, &z.w.channel));
        const spx_status st = talk(NULL, c, v);
        assert_true(st == SPX_OK || spx_error_message()[0] != '\0');
        assert_null(strstr(spx_error_message(), "connection is broken")); /* but why it is */
        spx_channel_close(c);
        assert_int_equal(pthread_join(server.thread, NULL), 0);
        if (server.bad < 0) {
            assert_int_equal(st, SPX_OK);
        }
    }
    (void)close(x.listening);
    spx_vault_close(v);
    end(&z);
}

/* ---- public models ---- */

SPX_TEST(a_damaged_public_model_is_refused_or_is_a_model)
{
    SPX_UNUSED;
    fuzz z;
    deploy_fixture f;
    void *honest;
    size_t size;
    begin(&z, 3, 0.15);
    spx_deploy *rich = fixture_model(&f, 3); /* every kind of op */
    CHECK_OK(spx_deploy_encode_public(rich, &honest, &size));
    for (int i = 0; another(&z, (size_t)i, 2000); i++) {
        const size_t n = below(&z, 8) == 0 ? below(&z, size) : size;
        unsigned char *data = malloc(n + 1); /* so that a sanitizer sees what lies behind */
        spx_deploy *m = NULL;
        spx_pi_plan *plan = NULL;
        memcpy(data, honest, n);
        for (uint32_t k = 1 + below(&z, 3); k > 0; k--) {
            if (below(&z, 2) == 0) {
                flip_bits(&z, data, n);
            } else {
                put_words(&z, data, n / 4 * 4);
            }
        }
        if (spx_deploy_decode_public(&m, data, n) != SPX_OK) {
            assert_null(m);
            assert_true(spx_error_message()[0] != '\0');
        } else if (spx_pi_plan_create(&plan, m) != SPX_OK) {
            assert_null(plan);
            assert_true(spx_error_message()[0] != '\0');
        }
        spx_pi_plan_destroy(plan);
        spx_deploy_destroy(m);
        free(data);
    }
    spx_free(honest);
    spx_deploy_destroy(rich);
    fixture_clear(&f);
    end(&z);
}

/* ---- files ---- */

typedef struct victim {
    char name[128];
    uint32_t skip;
} victim;

static spx_status choose(void *ctx, const char *name, uint64_t bytes)
{
    victim *v = ctx;
    (void)bytes;
    if (v->name[0] == '\0' || v->skip-- == 0) {
        (void)snprintf(v->name, sizeof v->name, "%s", name);
    }
    return SPX_OK;
}

/* Damages a file of a vault in place, beyond recognition for its seal. */
static void damage_file(fuzz *z, const char *vault, const char *name)
{
    char path[1200];
    void *data;
    size_t n;
    (void)snprintf(path, sizeof path, "%s/%s/%s", z->w.scratch.folder, vault, name);
    CHECK_OK(spx_file_read(path, 1u << 24, &data, &n));
    if (n == 0) {
        spx_free(data);
        return; /* cut to nothing in an earlier round */
    }
    if (below(z, 3) == 0) {
        n = below(z, n);
    } else {
        ((unsigned char *)data)[below(z, n)] ^= (unsigned char)(1u << below(z, 8));
    }
    const spx_span part = {data, n};
    CHECK_OK(spx_file_replace(path, &part, 1));
    spx_free(data);
}

/* One party's file, any of those with the prefix, is damaged between preparing and asking. */
static void ask_after_damage(fuzz *z, int round, const char *prefix)
{
    const uint8_t image[9] = {0};
    const bool at_server = prefix[0] == 't' || prefix[0] == 'l';
    char name[32];
    int64_t got[CLASSES], want[CLASSES];
    victim v = {.skip = below(z, 4)};
    pi_link l;
    spx_pi_client *p;
    spx_status st = SPX_OK;
    (void)snprintf(name, sizeof name, "client%d", round);
    spx_vault *vault = pi_vault(&z->w, name);
    for (int again = 0; again < 2; again++) {
        pi_dial(&l, &z->w);
        st = spx_pi_client_open(&p, l.client, vault, NULL);
        if (st == SPX_OK && again == 0) {
            CHECK_OK(spx_pi_client_prepare(p, 1, NULL, NULL, NULL, NULL, NULL));
            CHECK_OK(spx_vault_list(at_server ? z->w.server_vault : vault, prefix, choose, &v));
            assert_true(v.name[0] != '\0');
            damage_file(z, at_server ? "server" : name, v.name);
        }
        if (st == SPX_OK) {
            st = spx_pi_client_infer(p, image, got, NULL, NULL, NULL);
            spx_pi_client_close(p);
        }
        if (st == SPX_OK) { /* another client's file, or one that was in memory */
            pi_expected(&z->w, image, want);
            assert_memory_equal(got, want, sizeof got);
        } else {
            assert_true(spx_error_message()[0] != '\0');
        }
        pi_hang_up(&l);
    }
    spx_vault_close(vault);
}

SPX_TEST(a_damaged_file_is_noticed_and_the_server_lives_on)
{
    SPX_UNUSED;
    static const char *const prefix[] = {"t-", "u-", "l-", "t-"};
    fuzz z;
    begin(&z, 4, 0.15);
    for (int i = 0; another(&z, (size_t)i, 8); i++) {
        ask_after_damage(&z, i, prefix[i % 4]);
    }
    end(&z);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        SPX_UNIT(a_server_survives_damage_at_every_message),
        SPX_UNIT(a_client_survives_damage_at_every_message),
        SPX_UNIT(a_damaged_public_model_is_refused_or_is_a_model),
        SPX_UNIT(a_damaged_file_is_noticed_and_the_server_lives_on),
    };
    (void)signal(SIGPIPE, SIG_IGN);
    return cmocka_run_group_tests(tests, choose_seed, NULL);
}
