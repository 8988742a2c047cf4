/* Connections over TCP and TLS: who is let in, by which key, file or certificate. */
#define _DEFAULT_SOURCE
#include "host/secure/channel/channel.h"
#include "kernels/base/clock.h"
#include "kernels/base/file.h"
#include "tests/secure/pi_proxy.h"
#include "tests/support/spx_scratch.h"

#include <netdb.h>
#include <pthread.h>
#include <sys/stat.h>

static const spx_channel_options quick = {.timeout = 5};

typedef struct client {
    char address[64];
    spx_channel_options o;
    spx_status st;
    char message[512], peer[128];
} client;

/* Connects, sends a word, reads its echo. */
static void *run_client(void *arg)
{
    client *c = arg;
    spx_channel *ch;
    char echo[4] = "";
    c->st = spx_channel_connect(&ch, c->address, &c->o);
    if (c->st == SPX_OK) {
        (void)snprintf(c->peer, sizeof c->peer, "%s", spx_channel_peer(ch));
        c->st = spx_channel_send(ch, 1, "word", 4);
    }
    if (c->st == SPX_OK) {
        c->st = spx_channel_recv(ch, 2, echo, 4);
    }
    if (c->st == SPX_OK && memcmp(echo, "word", 4) != 0) {
        c->st = SPX_EFORMAT;
    }
    (void)snprintf(c->message, sizeof c->message, "%s", spx_error_message());
    spx_channel_close(ch);
    return NULL;
}

/* One conversation; returns the server's status and the peer it saw. */
static spx_status converse(const spx_channel_security *server, client *c, char peer[128])
{
    spx_channel_options o = quick;
    spx_listener *l;
    spx_channel *ch;
    pthread_t thread;
    char word[4];
    spx_status st;
    o.security = *server;
    CHECK_OK(spx_listener_open(&l, "127.0.0.1:0", &o));
    (void)snprintf(c->address, sizeof c->address, "127.0.0.1:%d", spx_listener_port(l));
    assert_int_equal(pthread_create(&thread, NULL, run_client, c), 0);
    CHECK_OK(spx_listener_accept(l, &ch));
    st = spx_channel_handshake(ch);
    if (st == SPX_OK) {
        (void)snprintf(peer, 128, "%s", spx_channel_peer(ch));
        st = spx_channel_recv(ch, 1, word, 4);
    }
    if (st == SPX_OK) {
        st = spx_channel_send(ch, 2, word, 4);
    }
    if (st == SPX_EFORMAT) { /* as every server does */
        spx_channel_give_up(ch, spx_error_message());
    }
    spx_channel_close(ch);
    assert_int_equal(pthread_join(thread, NULL), 0);
    spx_listener_close(l);
    return st;
}

#define KEY_A "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"
#define KEY_ZERO "0000000000000000000000000000000000000000000000000000000000000000"
#define KEY_B "ff112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"

static const char *write_file(spx_scratch *s, const char *name, const char *text)
{
    const char *path = spx_scratch_path(s, name);
    const spx_span part = {text, strlen(text)};
    CHECK_OK(spx_file_replace(path, &part, 1));
    return path;
}

SPX_TEST(plain_conversations_work_on_the_loopback_interface_and_nowhere_else)
{
    SPX_UNUSED;
    client c = {.o = quick};
    char peer[128] = "?";
    spx_listener *l;
    CHECK_OK(converse(&quick.security, &c, peer));
    assert_int_equal(c.st, SPX_OK);
    assert_string_equal(peer, "");
    CHECK_FAILS(SPX_EINVAL, spx_listener_open(&l, "0.0.0.0:0", &quick));
    assert_non_null(strstr(spx_error_message(), "--psk"));
    CHECK_FAILS(SPX_EINVAL, spx_listener_open(&l, "nonsense", &quick));
    CHECK_FAILS(SPX_EINVAL, spx_listener_open(&l, "127.0.0.1:http", &quick));
    CHECK_FAILS(SPX_EINVAL, spx_listener_open(&l, "127.0.0.1:65536", &quick));
}

SPX_TEST(a_shared_key_authenticates_and_a_wrong_one_is_refused)
{
    SPX_UNUSED;
    spx_scratch s;
    char peer[128] = "";
    client c = {.o = quick};
    assert_int_equal(spx_scratch_make(&s), 0);
    const char *server_keys = write_file(&s, "server", "alice:" KEY_A "\nbob:" KEY_B "\n");
    const spx_channel_security server = {.psk_path = server_keys};
    c.o.security.psk_path = write_file(&s, "bob", "bob:" KEY_B "\n");
    CHECK_OK(converse(&server, &c, peer));
    assert_int_equal(c.st, SPX_OK);
    assert_string_equal(peer, "bob");
    const char *const bad[] = {"bob:" KEY_A "\n", "mallory:" KEY_A "\n"};
    for (size_t i = 0; i < 2; i++) {
        c.o.security.psk_path = write_file(&s, "bad", bad[i]);
        assert_int_not_equal(converse(&server, &c, peer), SPX_OK);
        assert_int_not_equal(c.st, SPX_OK);
        assert_non_null(strstr(c.message, "refused the pre-shared key")); /* both by one alert */
    }
    c.o.security.psk_path = NULL; /* plain against TLS */
    assert_int_not_equal(converse(&server, &c, peer), SPX_OK);
    assert_int_not_equal(c.st, SPX_OK);
    spx_scratch_remove(&s);
}

/* A proxy that knows no frames, and keeps what the server says. */
typedef struct raw {
    pi_proxy x;
    unsigned char said[64];
    size_t n;
} raw;

static void *run_raw(void *arg)
{
    raw *r = arg;
    struct sockaddr_in to = {.sin_family = AF_INET,
                             .sin_port = htons((uint16_t)r->x.server_port),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    const int end[2] = {accept(r->x.listening, NULL, NULL), socket(AF_INET, SOCK_STREAM, 0)};
    bool open = connect(end[1], (struct sockaddr *)&to, sizeof to) == 0;
    while (open) {
        struct pollfd p[2] = {{.fd = end[0], .events = POLLIN}, {.fd = end[1], .events = POLLIN}};
        unsigned char data[4096];
        open = poll(p, 2, 20000) > 0;
        for (size_t i = 0; i < 2 && open; i++) {
            const ssize_t n = p[i].revents != 0 ? recv(end[i], data, sizeof data, 0) : -1;
            const size_t room = sizeof r->said - r->n, kept = (size_t)n < room ? (size_t)n : room;
            if (n > 0 && i == 1) {
                memcpy(r->said + r->n, data, kept);
                r->n += kept;
            }
            open = p[i].revents == 0 || (n > 0 && pi_send_all(end[1 - i], data, (size_t)n));
        }
    }
    (void)close(end[0]);
    (void)close(end[1]);
    return NULL;
}

/* Names cannot be tried out: to one that is not known the server says, byte for byte, what it says
 * to a wrong key. */
SPX_TEST(an_unknown_name_gets_the_very_alert_of_a_wrong_key)
{
    static const char *const keys[] = {"bob:" KEY_A "\n", "mallory:" KEY_A "\n",
                                       "mallory:" KEY_B "\n"};
    static const unsigned char alert[] = {21, 3, 3, 0, 2, 2, 47}; /* fatal, illegal_parameter */
    SPX_UNUSED;
    spx_scratch s;
    assert_int_equal(spx_scratch_make(&s), 0);
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++) {
        spx_channel_options o = quick;
        client c = {.o = quick};
        raw r = {.n = 0};
        spx_listener *l;
        spx_channel *ch;
        pthread_t thread;
        o.security.psk_path = write_file(&s, "server", "alice:" KEY_A "\nbob:" KEY_B "\n");
        CHECK_OK(spx_listener_open(&l, "127.0.0.1:0", &o));
        pi_proxy_begin(&r.x, spx_listener_port(l), 0);
        assert_int_equal(pthread_create(&r.x.thread, NULL, run_raw, &r), 0);
        c.o.security.psk_path = write_file(&s, "client", keys[i]);
        (void)snprintf(c.address, sizeof c.address, "127.0.0.1:%d", r.x.port);
        assert_int_equal(pthread_create(&thread, NULL, run_client, &c), 0);
        CHECK_OK(spx_listener_accept(l, &ch));
        assert_int_not_equal(spx_channel_handshake(ch), SPX_OK);
        spx_channel_close(ch);
        assert_int_equal(pthread_join(thread, NULL), 0);
        assert_int_equal(pthread_join(r.x.thread, NULL), 0);
        assert_int_equal(r.n, sizeof alert);
        assert_memory_equal(r.said, alert, sizeof alert);
        (void)close(r.x.listening);
        spx_listener_close(l);
    }
    spx_scratch_remove(&s);
}

SPX_TEST(keys_against_a_plain_party_are_told_as_that)
{
    SPX_UNUSED;
    spx_scratch s;
    char peer[128];
    client c = {.o = quick};
    assert_int_equal(spx_scratch_make(&s), 0);
    const spx_channel_security keys = {.psk_path = write_file(&s, "bob", "bob:" KEY_B "\n")};
    c.o.security = keys;
    assert_int_not_equal(converse(&quick.security, &c, peer), SPX_OK);
    assert_int_not_equal(c.st, SPX_OK);
    assert_non_null(strstr(c.message, "the other party is plain"));
    c.o.security = quick.security;
    assert_int_not_equal(converse(&keys, &c, peer), SPX_OK);
    assert_non_null(strstr(spx_error_message(), "the other party is plain"));
    spx_scratch_remove(&s);
}

/* Names as a machine that is starting up knows them: not at first. */
static int unknown; /* times that no name is known */
int __real_getaddrinfo(const char *host, const char *port, const struct addrinfo *hint,
                       struct addrinfo **out);
int __wrap_getaddrinfo(const char *host, const char *port, const struct addrinfo *hint,
                       struct addrinfo **out);
int __wrap_getaddrinfo(const char *host, const char *port, const struct addrinfo *hint,
                       struct addrinfo **out)
{
    return unknown > 0 && unknown-- > 0 ? EAI_NONAME : __real_getaddrinfo(host, port, hint, out);
}

SPX_TEST(who_waits_for_a_server_waits_for_its_name_too)
{
    SPX_UNUSED;
    spx_channel_options o = quick;
    char address[64];
    spx_listener *l;
    spx_channel *c;
    CHECK_OK(spx_listener_open(&l, "127.0.0.1:0", &quick));
    (void)snprintf(address, sizeof address, "127.0.0.1:%d", spx_listener_port(l));
    unknown = 1;
    CHECK_FAILS(SPX_EIO, spx_channel_connect(&c, address, &o));
    o.wait = 60;
    unknown = 2;
    CHECK_OK(spx_channel_connect(&c, address, &o));
    assert_int_equal(unknown, 0);
    spx_channel_close(c);
    spx_listener_close(l);
    CHECK_FAILS(SPX_EIO, spx_channel_connect(&c, address, &quick));
    assert_non_null(strstr(spx_error_message(), "--wait"));
    o.wait = 0.01;
    CHECK_FAILS(SPX_EIO, spx_channel_connect(&c, address, &o));
    assert_non_null(strstr(spx_error_message(), "connecting to"));
    assert_null(strstr(spx_error_message(), "--wait")); /* which was asked for */
}

SPX_TEST(options_that_do_not_go_together_are_told_before_any_file_is_read)
{
    SPX_UNUSED;
    static const struct {
        const char *address;
        spx_channel_options o;
        bool server;
        const char *say; /* NULL: they do */
    } row[] = {
        {"0.0.0.0:1", {.security = {.psk_path = "k"}}, true, NULL},
        {"0.0.0.0:1", {.timeout = 1}, true, "give --psk"},
        {"[::]:1", {.timeout = 1}, true, "give --psk"},
        {"127.0.0.9:1", {.link = {1, 0}}, true, NULL},
        {"a.name:1", {.link = {1, 0}}, false, NULL},
        {"10.0.0.1:1", {.security = {.psk_path = "k"}, .link = {1, 0}}, false, "a real link"},
        {"127.0.0.1:1", {.security = {.cert = "c"}}, true, "all of"},
        {"127.0.0.1:1", {.security = {.ca = "c"}}, false, "all of"},
        {"127.0.0.1:1", {.security = {.psk_path = "k", .key = "c"}}, true, "not both"},
        {"127.0.0.1:1", {.security = {.allow = "a"}}, true, "a server with certificates"},
    };
    for (size_t i = 0; i < sizeof row / sizeof row[0]; i++) {
        const spx_status st = spx_channel_options_check(&row[i].o, row[i].address, row[i].server);
        assert_int_equal(st, row[i].say == NULL ? SPX_OK : SPX_EINVAL);
        assert_true(row[i].say == NULL || strstr(spx_error_message(), row[i].say) != NULL);
    }
}

SPX_TEST(a_key_file_may_be_long_and_come_from_another_system)
{
    SPX_UNUSED;
    enum { KEYS = 5000, LINE = 80 };
    spx_scratch s;
    char peer[128] = "", *keys = calloc(KEYS + 1, LINE), *at = keys;
    client c = {.o = quick};
    assert_non_null(keys);
    assert_int_equal(spx_scratch_make(&s), 0);
    at += sprintf(at, "\xef\xbb\xbf");
    for (int i = 0; i < KEYS; i++) {
        at += sprintf(at, "%d:%064d\r\n", i, i + 1);
    }
    (void)sprintf(at, "bob:" KEY_B "\r\n");
    const spx_channel_security server = {.psk_path = write_file(&s, "server", keys)};
    c.o.security.psk_path = write_file(&s, "bob",
                                       "\xef\xbb\xbf"
                                       "bob:" KEY_B "\r\n\r\n");
    CHECK_OK(converse(&server, &c, peer));
    assert_int_equal(c.st, SPX_OK);
    assert_string_equal(peer, "bob");
    free(keys);
    spx_scratch_remove(&s);
}

SPX_TEST(malformed_key_files_are_refused_with_their_line)
{
    SPX_UNUSED;
    static const struct {
        const char *text, *say;
    } bad[] = {
        {"", "no key"},
        {"\n", "no key"},
        {"a:00\n", "line 1: a key has 64 digits"},
        {":" KEY_A "\n", "line 1: the identity is empty"},
        {KEY_A "\n", "line 1: expected identity:KEY"},
        {"a:" KEY_A "0\n", "line 1: a key has 64 digits"},
        {"a:" KEY_ZERO "\n", "line 1: the key is all zeros"},
        {"a:" KEY_A "\nb:" KEY_B "\na:" KEY_B "\n", "line 3: identity a has a key in line 1"},
        {"a:" KEY_A "\nb:" KEY_B "\nc:" KEY_A "\n",
         "line 3: identity c has the key of line 1, identity a"},
        {"ok:" KEY_A "\nb:" KEY_A "x\n", "line 2: a key has 64 digits"}};
    spx_scratch s;
    spx_listener *l;
    spx_channel_options o = quick;
    assert_int_equal(spx_scratch_make(&s), 0);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        o.security.psk_path = write_file(&s, "keys", bad[i].text);
        CHECK_FAILS(SPX_EFORMAT, spx_listener_open(&l, "127.0.0.1:0", &o));
        assert_non_null(strstr(spx_error_message(), bad[i].say));
    }
    o.security.cert = "x";
    CHECK_FAILS(SPX_EINVAL, spx_listener_open(&l, "127.0.0.1:0", &o));
    o.security = (spx_channel_security){.psk_path = o.security.psk_path, .allow = "x"};
    CHECK_FAILS(SPX_EINVAL, spx_listener_open(&l, "127.0.0.1:0", &o));
    assert_non_null(strstr(spx_error_message(), "--allow is for certificates"));
    spx_scratch_remove(&s);
}

SPX_TEST(a_key_file_that_others_can_read_is_refused_and_a_pipe_is_not)
{
    SPX_UNUSED;
    static const mode_t bad[] = {0640, 0604, 0620, 0610, 0644};
    spx_scratch s;
    spx_listener *l;
    spx_channel_options o = quick;
    char path[40];
    int end[2];
    assert_int_equal(spx_scratch_make(&s), 0);
    o.security.psk_path = write_file(&s, "keys", "a:" KEY_A "\n");
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        assert_int_equal(chmod(o.security.psk_path, bad[i]), 0);
        CHECK_FAILS(SPX_EINVAL, spx_listener_open(&l, "127.0.0.1:0", &o));
        assert_non_null(strstr(spx_error_message(), "chmod 600"));
    }
    assert_int_equal(chmod(o.security.psk_path, 0400), 0);
    CHECK_OK(spx_listener_open(&l, "127.0.0.1:0", &o));
    spx_listener_close(l);
    assert_int_equal(pipe(end), 0); /* what a shell makes of --psk <(...) */
    assert_int_equal(write(end[1], "a:" KEY_A "\n", 67), 67);
    assert_int_equal(close(end[1]), 0);
    (void)snprintf(path, sizeof path, "/dev/fd/%d", end[0]);
    o.security.psk_path = path;
    CHECK_OK(spx_listener_open(&l, "127.0.0.1:0", &o));
    spx_listener_close(l);
    (void)close(end[0]);
    spx_scratch_remove(&s);
}

/* A certificate authority and two certificates of it, by the openssl program; 77 without it. */
static int make_certificates(spx_scratch *s)
{
    char command[2048];
    (void)snprintf(command, sizeof command,
                   "cd '%s' && exec >log 2>&1 && O='openssl' && "
                   "$O req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 "
                   "-subj /CN=ca -keyout ca.key -out ca.pem && for who in server client nobody; do "
                   "S=/CN=$who && if [ $who = nobody ]; then S=/O=company; fi && "
                   "$O req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj $S "
                   "-addext subjectAltName=IP:127.0.0.1 -keyout $who.key -out $who.csr && "
                   "$O x509 -req -in $who.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 "
                   "-copy_extensions copy -out $who.pem || exit 1; done && "
                   "$O req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 "
                   "-subj /CN=mallory -keyout mallory.key -out mallory.pem",
                   s->folder);
    return system(command);
}

SPX_TEST(certificates_authenticate_both_parties)
{
    SPX_UNUSED;
    spx_scratch s;
    char peer[128] = "", path[6][512];
    static const char *const name[6] = {"server.pem", "server.key", "ca.pem",
                                        "client.pem", "client.key", "mallory.pem"};
    spx_listener *l;
    client c = {.o = quick};
    if (system("command -v openssl >/dev/null") != 0) {
        print_message("no openssl program\n");
        skip();
    }
    assert_int_equal(spx_scratch_make(&s), 0);
    assert_int_equal(make_certificates(&s), 0);
    for (int i = 0; i < 6; i++) {
        (void)snprintf(path[i], sizeof path[i], "%s", spx_scratch_path(&s, name[i]));
    }
    const spx_channel_security server = {.cert = path[0], .key = path[1], .ca = path[2]};
    c.o.security = (spx_channel_security){.cert = path[3], .key = path[4], .ca = path[2]};
    CHECK_OK(converse(&server, &c, peer));
    assert_int_equal(c.st, SPX_OK);
    assert_string_equal(peer, "client");
    assert_string_equal(c.peer, "server");
    for (int i = 0; i < 2; i++) { /* of those whom the authority signed, some may come */
        spx_channel_security some = server;
        some.allow = write_file(&s, "allow", i == 0 ? "another\nclient\n" : "another\nclien\n");
        assert_int_equal(converse(&some, &c, peer), i == 0 ? SPX_OK : SPX_EIO);
        assert_true(i == 0 || strstr(spx_error_message(), "client is not among the names allowed"));
        assert_int_equal(c.st, i == 0 ? SPX_OK : SPX_EIO);
    }
    c.o.security = (spx_channel_security){
        .cert = path[5], .key = spx_scratch_path(&s, "mallory.key"), .ca = path[2]};
    assert_int_not_equal(converse(&server, &c, peer), SPX_OK);
    /* Signed, but by no name: clients are told apart by names. */
    (void)snprintf(path[3], sizeof path[3], "%s/nobody.pem", s.folder);
    (void)snprintf(path[4], sizeof path[4], "%s/nobody.key", s.folder);
    c.o.security = (spx_channel_security){.cert = path[3], .key = path[4], .ca = path[2]};
    assert_int_not_equal(converse(&server, &c, peer), SPX_OK);
    c.o.security = (spx_channel_security){.cert = path[3], .key = path[4], .ca = path[5]};
    assert_int_not_equal(converse(&server, &c, peer), SPX_OK);
    assert_non_null(strstr(c.message, "certificate"));
    assert_int_equal(chmod(path[1], 0644), 0);
    c.o.security = server;
    CHECK_FAILS(SPX_EINVAL, spx_listener_open(&l, "127.0.0.1:0", &c.o));
    assert_non_null(strstr(spx_error_message(), "chmod 600"));
    spx_scratch_remove(&s);
}

int main(void)
{
    (void)umask(077); /* keys that others can read are refused */
    const struct CMUnitTest tests[] = {
        SPX_UNIT(plain_conversations_work_on_the_loopback_interface_and_nowhere_else),
        SPX_UNIT(a_shared_key_authenticates_and_a_wrong_one_is_refused),
        SPX_UNIT(an_unknown_name_gets_the_very_alert_of_a_wrong_key),
        SPX_UNIT(keys_against_a_plain_party_are_told_as_that),
        SPX_UNIT(who_waits_for_a_server_waits_for_its_name_too),
        SPX_UNIT(options_that_do_not_go_together_are_told_before_any_file_is_read),
        SPX_UNIT(a_key_file_may_be_long_and_come_from_another_system),
        SPX_UNIT(malformed_key_files_are_refused_with_their_line),
        SPX_UNIT(a_key_file_that_others_can_read_is_refused_and_a_pipe_is_not),
        SPX_UNIT(certificates_authenticate_both_parties),
    };
    (void)signal(SIGPIPE, SIG_IGN); /* as main does */
    return cmocka_run_group_tests(tests, NULL, NULL);
}
