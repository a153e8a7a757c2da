// Running one of the device's own programs, such as getprop.
#ifndef OFA_PROGRAM_H
#define OFA_PROGRAM_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

// One that runs beside this process.
typedef struct {
    pid_t child;
    int output;
} Program;

// Starts it; false where that cannot be. arguments: its name first, NULL last. It may run on any core, whatever this
// process is pinned to.
bool program_start(char *const *arguments, Program *program);
// Waits for its end. What it printed, as far as it fits, without space at the end; NULL where there is no such program,
// or it printed nothing.
char *program_end(Program *program, char *text, size_t size);

// Ends it first, which may go on for ever.
char *program_stop(Program *program, char *text, size_t size);

// Starts it, and waits for its end.
char *program_output(char *const *arguments, char *text, size_t size);

#endif
