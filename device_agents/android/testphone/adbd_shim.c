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

static int port, listening;

// What adbd starts is to know nothing of this: neither the preloading nor the open socket.
__attribute__((constructor)) static void take_over(void) {
  port = atoi(getenv("ADBD_PORT"));
  listening = atoi(getenv("LISTEN_FD"));
  fcntl(listening, F_SETFD, FD_CLOEXEC);
  unsetenv("LD_PRELOAD");
  unsetenv("LISTEN_FD");
}

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
  if (is_inet && ntohs(((const struct sockaddr_in *)address)->sin_port) == port) {
    return dup3(listening, fd, O_CLOEXEC) < 0 ? -1 : 0;
  }
  return real(fd, address, length);
}
