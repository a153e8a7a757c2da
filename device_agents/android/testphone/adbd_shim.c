// Preloaded into the test phone's adbd, which has no network: it serves the one listening socket that it was handed.
//
// adbd binds ADBD_PORT on every address and then tries vsock. Here its bind() puts the inherited socket LISTEN_FD
// (127.0.0.1, made outside the phone's network namespace) in the place of its own, and vsock does not exist.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

static int number(const char *name) {
  const char *text = getenv(name);
  return text ? atoi(text) : -1;
}

// shells that adbd starts must not hold the socket open when adbd is gone
__attribute__((constructor)) static void keep_to_adbd(void) { fcntl(number("LISTEN_FD"), F_SETFD, FD_CLOEXEC); }

int socket(int domain, int type, int protocol) {
  int (*real)(int, int, int) = (int (*)(int, int, int))dlsym(RTLD_NEXT, "socket");
  if (domain == AF_VSOCK) {
    errno = EAFNOSUPPORT;
    return -1;
  }
  return real(domain, type, protocol);
}

int bind(int fd, const struct sockaddr *address, socklen_t length) {
  int (*real)(int, const struct sockaddr *, socklen_t) =
      (int (*)(int, const struct sockaddr *, socklen_t))dlsym(RTLD_NEXT, "bind");
  // the port lies at the same place in IPv4 and IPv6 addresses
  int is_inet = address->sa_family == AF_INET || address->sa_family == AF_INET6;
  if (is_inet && ntohs(((const struct sockaddr_in *)address)->sin_port) == number("ADBD_PORT")) {
    return dup3(number("LISTEN_FD"), fd, O_CLOEXEC) < 0 ? -1 : 0;
  }
  return real(fd, address, length);
}
