// Running one of the device's own programs, such as getprop.
#ifndef OFA_PROGRAM_H
#define OFA_PROGRAM_H

#include <stddef.h>

// What a program prints, as far as it fits, without space at the end; NULL where there is no such program, or it prints
// nothing. arguments: its name first, NULL last. It may run on any core, whatever this process is pinned to.
char *program_output(char *const *arguments, char *text, size_t size);

#endif
