#define _GNU_SOURCE
#include "program.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

// In the child: becomes the program. posix_spawn would do all of it, but came to Android with API 28.
static void become(char *const *arguments, int output) {
    cpu_set_t all;
    memset(&all, 0xff, sizeof all);
    sched_setaffinity(0, sizeof all, &all);  // of those that are allowed
    int nothing = open("/dev/null", O_RDWR | O_CLOEXEC);
    if (nothing >= 0) {
        dup2(nothing, 0);
        dup2(nothing, 2);
    }
    dup2(output, 1);
    execvp(arguments[0], arguments);
    _exit(127);
}

bool program_start(char *const *arguments, Program *program) {
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) != 0) return false;
    pid_t child = fork();
    if (child == 0) become(arguments, ends[1]);
    close(ends[1]);
    *program = (Program){child, ends[0]};
    if (child < 0) close(ends[0]);
    return child > 0;
}

char *program_end(Program *program, char *text, size_t size) {
    size_t length = 0;
    char rest[512];
    for (;;) {  // to the end: a program whose output nobody reads is killed by it, or waits
        size_t room = size - 1 - length;
        ssize_t got = room ? read(program->output, text + length, room) : read(program->output, rest, sizeof rest);
        if (got < 0 && errno == EINTR) continue;
        if (got <= 0) break;
        if (room) length += (size_t)got;
    }
    close(program->output);
    while (waitpid(program->child, NULL, 0) < 0 && errno == EINTR) continue;
    while (length > 0 && isspace((unsigned char)text[length - 1])) length--;
    text[length] = 0;
    return length ? text : NULL;
}

char *program_stop(Program *program, char *text, size_t size) {
    kill(program->child, SIGTERM);
    return program_end(program, text, size);
}

char *program_output(char *const *arguments, char *text, size_t size) {
    Program program;
    return program_start(arguments, &program) ? program_end(&program, text, size) : NULL;
}
