/* TLS 1.3 with mutual authentication by a pre-shared key or by certificates, over OpenSSL. */
#define _DEFAULT_SOURCE
#include "host/secure/channel/channel_private.h"

#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CIPHER "TLS_AES_256_GCM_SHA384"

struct spx_tls {
    atomic_int users; /* its owner and its sessions */
    SSL_CTX *ctx;
    bool server;
    spx_psk *keys;
    size_t n_keys;
    char (*allowed)[SPX_TLS_NAME]; /* NULL: all that the CA signed */
    size_t n_allowed;
};

struct spx_tls_session {
    SSL *ssl;
    spx_tls *tls;
    char peer[SPX_TLS_NAME];
    char error[400];
};

static const char *openssl_text(char text[160])
{
    const unsigned long e = ERR_get_error();
    const char *reason = e != 0 ? ERR_reason_error_string(e) : NULL;
    (void)snprintf(text, 160, "%s", reason != NULL ? reason : "no reason given");
    ERR_clear_error();
    return text;
}

void spx_tls_destroy(spx_tls *t)
{
    if (t == NULL || atomic_fetch_sub(&t->users, 1) > 1) {
        return;
    }
    SSL_CTX_free(t->ctx);
    spx_psk_free(t->keys);
    free(t->allowed);
    free(t);
}

/* The session a pre-shared key stands for. */
static SSL_SESSION *key_session(SSL *ssl, const unsigned char key[SPX_TLS_KEY_BYTES])
{
    static const unsigned char id[2] = {0x13, 0x02}; /* CIPHER's number, RFC 8446 B.4 */
    const SSL_CIPHER *cipher = SSL_CIPHER_find(ssl, id);
    SSL_SESSION *s = SSL_SESSION_new();
    if (s == NULL || cipher == NULL || !SSL_SESSION_set1_master_key(s, key, SPX_TLS_KEY_BYTES) ||
        !SSL_SESSION_set_cipher(s, cipher) ||
        !SSL_SESSION_set_protocol_version(s, TLS1_3_VERSION)) {
        SSL_SESSION_free(s);
        return NULL;
    }
    return s;
}

static int use_key(SSL *ssl, const EVP_MD *md, const unsigned char **id, size_t *id_len,
                   SSL_SESSION **out)
{
    const spx_tls_session *s = SSL_get_app_data(ssl);
    const spx_psk *k = &s->tls->keys[0];
    (void)md;
    *id = (const unsigned char *)k->name;
    *id_len = strlen(k->name);
    *out = key_session(ssl, k->key);
    return *out != NULL;
}

/* An identity that is not known gets a key that nobody has: the handshake fails as with a wrong
 * key, and nobody learns which names there are. */
static int find_key(SSL *ssl, const unsigned char *id, size_t id_len, SSL_SESSION **out)
{
    spx_tls_session *s = SSL_get_app_data(ssl);
    unsigned char key[SPX_TLS_KEY_BYTES];
    *out = NULL;
    if (RAND_bytes(key, sizeof key) != 1) {
        return 0;
    }
    s->peer[0] = '\0';
    for (size_t i = 0; i < s->tls->n_keys; i++) {
        const spx_psk *k = &s->tls->keys[i];
        if (strlen(k->name) == id_len && memcmp(k->name, id, id_len) == 0) {
            (void)snprintf(s->peer, sizeof s->peer, "%s", k->name);
            memcpy(key, k->key, sizeof key);
        }
    }
    *out = key_session(ssl, key);
    OPENSSL_cleanse(key, sizeof key);
    return *out != NULL;
}

static spx_status load_private_key(spx_tls *t, const char *path)
{
    char text[160];
    EVP_PKEY *key = NULL;
    BIO *from;
    void *data;
    size_t size;
    bool ok;
    SPX_RETURN_IF(spx_key_file_read(path, SPX_TLS_MAX_FILE, &data, &size));
    from = BIO_new_mem_buf(data, (int)size);
    key = from != NULL ? PEM_read_bio_PrivateKey(from, NULL, NULL, NULL) : NULL;
    ok = key != NULL && SSL_CTX_use_PrivateKey(t->ctx, key) == 1 &&
         SSL_CTX_check_private_key(t->ctx) == 1;
    EVP_PKEY_free(key);
    BIO_free(from);
    spx_key_file_free(data, size);
    return ok ? SPX_OK : SPX_FAIL(SPX_EFORMAT, "%s: %s", path, openssl_text(text));
}

static spx_status load_certificates(spx_tls *t, const spx_channel_security *o)
{
    char text[160];
    if (SSL_CTX_use_certificate_chain_file(t->ctx, o->cert) != 1) {
        return SPX_FAIL(SPX_EFORMAT, "%s: %s", o->cert, openssl_text(text));
    }
    SPX_RETURN_IF(load_private_key(t, o->key));
    if (SSL_CTX_load_verify_locations(t->ctx, o->ca, NULL) != 1) {
        return SPX_FAIL(SPX_EFORMAT, "%s: %s", o->ca, openssl_text(text));
    }
    SSL_CTX_set_verify(t->ctx, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
    return SPX_OK;
}

bool spx_tls_wanted(const spx_channel_security *o)
{
    return o->psk_path != NULL || o->cert != NULL || o->key != NULL || o->ca != NULL;
}

spx_status spx_tls_check(const spx_channel_security *o, bool server)
{
    const bool certificates = o->cert != NULL || o->key != NULL || o->ca != NULL;
    if (o->allow != NULL && (o->cert == NULL || !server)) {
        return SPX_FAIL(SPX_EINVAL, "%s",
                        o->psk_path != NULL
                            ? "--allow is for certificates; a file of keys is its own list"
                            : "--allow is for a server with certificates");
    }
    if (o->psk_path != NULL && certificates) {
        return SPX_FAIL(SPX_EINVAL,
                        "a pre-shared key (--psk) or certificates (--cert, --key, --ca), not both");
    }
    if (certificates && (o->cert == NULL || o->key == NULL || o->ca == NULL)) {
        return SPX_FAIL(SPX_EINVAL, "certificates need all of --cert, --key and --ca");
    }
    return SPX_OK;
}

spx_status spx_tls_create(spx_tls **out, const spx_channel_security *o, bool server)
{
    spx_status st = SPX_OK;
    spx_tls *t;
    *out = NULL;
    SPX_RETURN_IF(spx_tls_check(o, server));
    if (!spx_tls_wanted(o)) {
        return SPX_OK;
    }
    t = calloc(1, sizeof *t);
    if (t == NULL) {
        return SPX_FAIL(SPX_ENOMEM, "TLS");
    }
    atomic_init(&t->users, 1);
    t->server = server;
    t->ctx = SSL_CTX_new(server ? TLS_server_method() : TLS_client_method());
    if (t->ctx == NULL || SSL_CTX_set_min_proto_version(t->ctx, TLS1_3_VERSION) != 1 ||
        SSL_CTX_set_ciphersuites(t->ctx, CIPHER) != 1) {
        st = SPX_FAIL(SPX_EUNSUPPORTED, "OpenSSL offers no TLS 1.3 with " CIPHER);
        goto fail;
    }
    SSL_CTX_set_mode(t->ctx, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    /* Records without data (key updates without end) must not keep a read from coming back. */
    SSL_CTX_clear_mode(t->ctx, SSL_MODE_AUTO_RETRY);
    (void)SSL_CTX_set_num_tickets(t->ctx, 0); /* every connection authenticates anew */
    if (o->psk_path != NULL) {
        SPX_TRY(st, spx_psk_read(&t->keys, &t->n_keys, o->psk_path), fail);
        if (server) {
            SSL_CTX_set_psk_find_session_callback(t->ctx, find_key);
        } else {
            SSL_CTX_set_psk_use_session_callback(t->ctx, use_key);
            /* A server that does not know the key would show a certificate instead: refuse all. */
            SSL_CTX_set_verify(t->ctx, SSL_VERIFY_PEER, NULL);
        }
    } else {
        SPX_TRY(st, load_certificates(t, o), fail);
        if (o->allow != NULL) {
            SPX_TRY(st, spx_names_read(&t->allowed, &t->n_allowed, o->allow), fail);
        }
    }
    *out = t;
    return SPX_OK;
fail:
    spx_tls_destroy(t);
    return st;
}

spx_status spx_tls_session_create(spx_tls_session **out, spx_tls *t, int fd, const char *host)
{
    spx_tls_session *s = calloc(1, sizeof *s);
    *out = NULL;
    if (s == NULL || (s->ssl = SSL_new(t->ctx)) == NULL || SSL_set_fd(s->ssl, fd) != 1) {
        spx_tls_session_destroy(s);
        return SPX_FAIL(SPX_ENOMEM, "TLS session");
    }
    s->tls = t;
    (void)atomic_fetch_add(&t->users, 1);
    SSL_set_app_data(s->ssl, s);
    if (t->server) {
        SSL_set_accept_state(s->ssl);
    } else {
        SSL_set_connect_state(s->ssl);
        if (t->n_keys > 0) {
            (void)snprintf(s->peer, sizeof s->peer, "%s", t->keys[0].name);
        } else if (!X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(s->ssl), host) &&
                   SSL_set1_host(s->ssl, host) != 1) {
            spx_tls_session_destroy(s);
            return SPX_FAIL(SPX_EINVAL, "%s is no host name a certificate could carry", host);
        }
    }
    *out = s;
    return SPX_OK;
}

void spx_tls_session_destroy(spx_tls_session *s)
{
    if (s != NULL) {
        SSL_free(s->ssl);
        spx_tls_destroy(s->tls);
        free(s);
    }
}

/* What OpenSSL's words mean here. A refused key comes back as one of the first two alerts (RFC 8446
 * 4.2.11: the binder does not verify). */
static const struct {
    int reason;
    bool with_key; /* where pre-shared keys are in use; else with certificates */
    const char *text;
} meanings[] = {
    {SSL_R_SSLV3_ALERT_ILLEGAL_PARAMETER, true, "the server refused the pre-shared key"},
    {SSL_R_TLSV1_ALERT_DECRYPT_ERROR, true, "the server refused the pre-shared key"},
    {SSL_R_BINDER_DOES_NOT_VERIFY, true, "an identity or a key that is not in the file of keys"},
    {SSL_R_SSLV3_ALERT_HANDSHAKE_FAILURE, true, "the server does not use pre-shared keys"},
    {SSL_R_CERTIFICATE_VERIFY_FAILED, true, "the server does not use pre-shared keys"},
    {SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE, false, "the other party showed no certificate"},
    {SSL_R_NO_SUITABLE_SIGNATURE_ALGORITHM, true, "the other party uses no pre-shared key"},
    {SSL_R_WRONG_VERSION_NUMBER, true, "the other party is plain: it was given no --psk"},
    {SSL_R_WRONG_VERSION_NUMBER, false, "the other party is plain: it was given no certificates"},
};

static void explain(spx_tls_session *s, unsigned long e)
{
    const bool with_key = s->tls->n_keys > 0;
    const long verify = SSL_get_verify_result(s->ssl);
    const int reason = ERR_GET_REASON(e);
    char text[160];
    for (size_t i = 0; ERR_GET_LIB(e) == ERR_LIB_SSL && i < sizeof meanings / sizeof meanings[0];
         i++) {
        if (meanings[i].reason == reason && meanings[i].with_key == with_key) {
            (void)snprintf(s->error, sizeof s->error, "%s", meanings[i].text);
            ERR_clear_error();
            return;
        }
    }
    (void)snprintf(s->error, sizeof s->error, "%s", openssl_text(text));
    if (reason == SSL_R_CERTIFICATE_VERIFY_FAILED && verify != X509_V_OK) {
        (void)snprintf(s->error, sizeof s->error, "%s: %s", text,
                       X509_verify_cert_error_string(verify));
    }
}

static spx_io outcome(spx_tls_session *s, int rc)
{
    unsigned long e;
    switch (SSL_get_error(s->ssl, rc)) {
    case SSL_ERROR_NONE:
        return SPX_IO_DONE;
    case SSL_ERROR_WANT_READ:
        return SPX_IO_WANT_READ;
    case SSL_ERROR_WANT_WRITE:
        return SPX_IO_WANT_WRITE;
    case SSL_ERROR_ZERO_RETURN:
        return SPX_IO_END;
    case SSL_ERROR_SYSCALL:
        return SPX_IO_END;
    default:
        e = ERR_peek_error();
        if (ERR_GET_LIB(e) == ERR_LIB_SSL &&
            ERR_GET_REASON(e) == SSL_R_UNEXPECTED_EOF_WHILE_READING) {
            ERR_clear_error();
            return SPX_IO_END;
        }
        explain(s, e);
        return SPX_IO_FAILED;
    }
}

static bool is_allowed(const spx_tls *t, const char *name)
{
    for (size_t i = 0; i < t->n_allowed; i++) {
        if (strcmp(t->allowed[i], name) == 0) {
            return true;
        }
    }
    return t->allowed == NULL;
}

/* The common name of the peer's certificate; false where a server could not tell the client from
 * others by it: none, cut short, or with a zero in it. A server is known by its host name. */
static bool name_peer(spx_tls_session *s)
{
    X509 *cert = SSL_get1_peer_certificate(s->ssl);
    int n = -1;
    if (cert != NULL) {
        n = X509_NAME_get_text_by_NID(X509_get_subject_name(cert), NID_commonName, s->peer,
                                      (int)sizeof s->peer);
        X509_free(cert);
    }
    return !s->tls->server ||
           (n > 0 && (size_t)n < sizeof s->peer - 1 && strlen(s->peer) == (size_t)n);
}

spx_io spx_tls_handshake(spx_tls_session *s)
{
    spx_io io;
    ERR_clear_error();
    io = outcome(s, SSL_do_handshake(s->ssl));
    if (io == SPX_IO_DONE) {
        if (s->tls->n_keys == 0) {
            if (!name_peer(s)) {
                (void)snprintf(s->error, sizeof s->error, "the certificate names nobody");
                io = SPX_IO_FAILED;
            } else if (!is_allowed(s->tls, s->peer)) {
                (void)snprintf(s->error, sizeof s->error, "%s is not among the names allowed",
                               s->peer);
                io = SPX_IO_FAILED;
            }
        } else if (!SSL_session_reused(s->ssl)) {
            (void)snprintf(s->error, sizeof s->error, "the pre-shared key was not used");
            io = SPX_IO_FAILED;
        }
    }
    return io;
}

spx_io spx_tls_read(spx_tls_session *s, void *data, size_t n, size_t *got)
{
    ERR_clear_error();
    return outcome(s, SSL_read_ex(s->ssl, data, n, got));
}

spx_io spx_tls_write(spx_tls_session *s, const void *data, size_t n, size_t *put)
{
    ERR_clear_error();
    return outcome(s, SSL_write_ex(s->ssl, data, n, put));
}

bool spx_tls_is_up(const spx_tls_session *s)
{
    return SSL_is_init_finished(s->ssl) != 0;
}

const char *spx_tls_peer(const spx_tls_session *s)
{
    return s->peer;
}

const char *spx_tls_error(spx_tls_session *s)
{
    return s->error;
}
