// Where a program begins on Android: hands main to bionic, which sets itself up first. The agent has no constructors and
// no destructors of its own, so bionic is told of none.
extern int main(int count, char **arguments, char **environment);
extern void __libc_init(void *kernel_arguments, void (*unused)(void), int (*main)(int, char **, char **),
                        const void *constructors) __attribute__((noreturn));

__attribute__((used)) static void begin(void *kernel_arguments) {
    static void *const none[8];  // three arrays, and in newer versions their sizes
    __libc_init(kernel_arguments, 0, main, none);
}

#if defined(__aarch64__)
__asm__(".text\n.globl _start\n.type _start, %function\n_start:\nmov x29, #0\nmov x30, #0\nmov x0, sp\nb begin\n");
#elif defined(__x86_64__)
__asm__(".text\n.globl _start\n.type _start, @function\n_start:\nxorl %ebp, %ebp\nmovq %rsp, %rdi\nandq $-16, %rsp\ncall begin\n");
#else
#error "no start for this processor"
#endif
