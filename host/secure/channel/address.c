#define _DEFAULT_SOURCE
#include "host/secure/channel/address_private.h"
#include "host/secure/channel/channel.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define HOST_BYTES 256
#define PORT_BYTES 8

/* "HOST:PORT", "[v6]:PORT" */
static spx_status split(const char *address, char host[HOST_BYTES], char port[PORT_BYTES])
{
    const char *colon = strrchr(address, ':');
    const char *from = address;
    size_t n = colon != NULL ? (size_t)(colon - address) : 0;
    if (n >= 2 && from[0] == '[' && from[n - 1] == ']') {
        from++;
        n -= 2;
    }
    if (n == 0 || n >= HOST_BYTES || strlen(colon + 1) == 0 || strlen(colon + 1) >= PORT_BYTES ||
        strspn(colon + 1, "0123456789") != strlen(colon + 1)) {
        return SPX_FAIL(SPX_EINVAL, "address %s: expected HOST:PORT", address);
    }
    if (strtol(colon + 1, NULL, 10) > 65535) {
        return SPX_FAIL(SPX_EINVAL, "address %s: ports end at 65535", address);
    }
    memcpy(host, from, n);
    host[n] = '\0';
    memcpy(port, colon + 1, strlen(colon + 1) + 1);
    return SPX_OK;
}

spx_status spx_channel_address_check(const char *address)
{
    char host[HOST_BYTES], port[PORT_BYTES];
    return split(address, host, port);
}

static spx_status resolve(const char *address, bool passive, char host[HOST_BYTES],
                          struct addrinfo **out)
{
    struct addrinfo hint = {.ai_socktype = SOCK_STREAM};
    char port[PORT_BYTES];
    int rc;
    SPX_RETURN_IF(split(address, host, port));
    hint.ai_flags = AI_NUMERICSERV | (passive ? AI_PASSIVE : 0);
    rc = getaddrinfo(host, port, &hint, out);
    return rc == 0 ? SPX_OK : SPX_FAIL(SPX_EIO, "address %s: %s", address, gai_strerror(rc));
}

static bool is_loopback(const struct sockaddr *a)
{
    if (a->sa_family == AF_INET) {
        struct sockaddr_in v4;
        memcpy(&v4, a, sizeof v4);
        return ntohl(v4.sin_addr.s_addr) >> 24 == 127;
    }
    if (a->sa_family == AF_INET6) {
        struct sockaddr_in6 v6;
        memcpy(&v6, a, sizeof v6);
        return IN6_IS_ADDR_LOOPBACK(&v6.sin6_addr);
    }
    return a->sa_family == AF_UNIX;
}

bool spx_socket_off_loopback(const char *address)
{
    const struct addrinfo hint = {.ai_socktype = SOCK_STREAM,
                                  .ai_flags = AI_NUMERICSERV | AI_NUMERICHOST};
    char host[HOST_BYTES], port[PORT_BYTES];
    struct addrinfo *list;
    bool off;
    if (split(address, host, port) != SPX_OK || getaddrinfo(host, port, &hint, &list) != 0) {
        return false;
    }
    off = !is_loopback(list->ai_addr);
    freeaddrinfo(list);
    return off;
}

spx_status spx_socket_prepare(int fd)
{
    const int one = 1, flags = fcntl(fd, F_GETFL);
    if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) != 0 ||
        fcntl(fd, F_SETFD, FD_CLOEXEC) != 0) {
        return SPX_FAIL(SPX_EIO, "socket: %s", strerror(errno));
    }
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one); /* not on socket pairs */
    return SPX_OK;
}

void spx_socket_name(const struct sockaddr *a, socklen_t n, char *text)
{
    char host[SPX_CHANNEL_ADDRESS - 10], port[PORT_BYTES];
    text[0] = '\0';
    if (getnameinfo(a, n, host, sizeof host, port, sizeof port, NI_NUMERICHOST | NI_NUMERICSERV) ==
        0) {
        (void)snprintf(text, SPX_CHANNEL_ADDRESS, strchr(host, ':') != NULL ? "[%s]:%s" : "%s:%s",
                       host, port);
    }
}

static int bound_port(int fd)
{
    struct sockaddr_storage a;
    socklen_t n = sizeof a;
    struct sockaddr_in v4;
    if (getsockname(fd, (struct sockaddr *)&a, &n) != 0) {
        return 0;
    }
    memcpy(&v4, &a, sizeof v4); /* the port is at the same place in both families */
    return ntohs(v4.sin_port);
}

spx_status spx_socket_listen(const char *address, int *fd, int *port, bool *loopback)
{
    char host[HOST_BYTES];
    struct addrinfo *list;
    spx_status st;
    const int one = 1;
    SPX_RETURN_IF(resolve(address, true, host, &list));
    *fd = socket(list->ai_family, list->ai_socktype, list->ai_protocol);
    if (*fd < 0 || setsockopt(*fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one) != 0 ||
        bind(*fd, list->ai_addr, list->ai_addrlen) != 0 || listen(*fd, 64) != 0) {
        st = SPX_FAIL(SPX_EIO, "listening at %s: %s", address, strerror(errno));
    } else {
        *loopback = is_loopback(list->ai_addr);
        *port = bound_port(*fd);
        st = spx_socket_prepare(*fd);
    }
    freeaddrinfo(list);
    if (st != SPX_OK && *fd >= 0) {
        (void)close(*fd);
        *fd = -1;
    }
    return st;
}

/* 0, or the errno of a connection that failed. */
static int try_connect(int fd, const struct addrinfo *to, double timeout)
{
    int error = 0;
    socklen_t n = sizeof error;
    struct pollfd p = {.fd = fd, .events = POLLOUT};
    if (connect(fd, to->ai_addr, to->ai_addrlen) == 0) {
        return 0;
    }
    if (errno != EINPROGRESS) {
        return errno;
    }
    if (poll(&p, 1, (int)(timeout * 1e3)) <= 0) {
        return ETIMEDOUT;
    }
    return getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &n) == 0 ? error : errno;
}

spx_status spx_socket_connect(const char *address, double timeout, bool waits, int *fd, char *host,
                              bool *loopback)
{
    struct addrinfo *list;
    int error = 0;
    SPX_RETURN_IF(resolve(address, false, host, &list));
    *fd = -1;
    for (const struct addrinfo *a = list; a != NULL && *fd < 0; a = a->ai_next) {
        *fd = socket(a->ai_family, a->ai_socktype, a->ai_protocol);
        if (*fd < 0) {
            error = errno;
            continue;
        }
        error = spx_socket_prepare(*fd) == SPX_OK ? try_connect(*fd, a, timeout) : EIO;
        *loopback = is_loopback(a->ai_addr);
        if (error != 0) {
            (void)close(*fd);
            *fd = -1;
        }
    }
    freeaddrinfo(list);
    return *fd >= 0
               ? SPX_OK
               : SPX_FAIL(SPX_EIO, "connecting to %s: %s%s", address, strerror(error),
                          error == ECONNREFUSED && !waits ? "; --wait TIME waits for its server"
                                                          : "");
}
