#ifndef SPX_ADDRESS_PRIVATE_H
#define SPX_ADDRESS_PRIVATE_H
/* Sockets and names, for channel.c. */
#include "kernels/base/status.h"

#include <stdbool.h>
#include <sys/socket.h>

/** Whether the address is a number, and not one of the loopback interface. */
bool spx_socket_off_loopback(const char *address);
/** A listening, non-blocking socket; *port is the one it got, *loopback whether only this machine
 * reaches it. */
SPX_MUST_CHECK spx_status spx_socket_listen(const char *address, int *fd, int *port,
                                            bool *loopback);
/** A connected, non-blocking socket. @param waits  the caller tries again: nobody is told to wait
 * @param host  receives the name, at least 256 bytes */
SPX_MUST_CHECK spx_status spx_socket_connect(const char *address, double timeout, bool waits,
                                             int *fd, char *host, bool *loopback);
/** "127.0.0.1:4000", "[::1]:4000". @param text  SPX_CHANNEL_ADDRESS bytes; "" where it has none */
void spx_socket_name(const struct sockaddr *a, socklen_t n, char *text);
/** Non-blocking, without delay for small messages. */
SPX_MUST_CHECK spx_status spx_socket_prepare(int fd);

#endif
