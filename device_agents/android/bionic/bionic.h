// Included before every source of the agent: where bionic differs from musl, whose headers are used. What both take from
// the kernel (struct stat, rusage, utsname, timespec, cpu_set_t, flags) is the same, and so are the sizes of pthread's types.
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <unistd.h>

#undef errno
extern int *__errno(void);
#define errno (*__errno())

#undef _SC_NPROCESSORS_CONF
#define _SC_NPROCESSORS_CONF 0x60

// bionic's, of 64-bit processors
_Static_assert(sizeof(pthread_mutex_t) == 40, "pthread_mutex_t");
_Static_assert(sizeof(pthread_cond_t) == 48, "pthread_cond_t");
_Static_assert(sizeof(pthread_t) == 8, "pthread_t");
