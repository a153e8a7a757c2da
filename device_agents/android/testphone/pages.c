// Stands before qemu on a test phone with large pages, which qemu cannot emulate: starts nothing that a kernel and a
// loader with such pages refuse. `pages PROGRAM ARGUMENTS...`, by binfmt_misc; the size is in /test-phone/page_size.
#include <dirent.h>
#include <elf.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

// Whether an ELF file of ARM's can be mapped in pages of that size; other files can.
static int fits(const char *path, unsigned long page) {
    Elf64_Ehdr header;
    int file = open(path, O_RDONLY), good = 1;
    if (file < 0) return 1;
    if (read(file, &header, sizeof header) == sizeof header && header.e_ident[0] == 0x7f && header.e_ident[1] == 'E' &&
        header.e_machine == EM_AARCH64)
        for (int i = 0; i < header.e_phnum; i++) {
            Elf64_Phdr part;
            off_t place = (off_t)header.e_phoff + i * (off_t)sizeof part;
            if (pread(file, &part, sizeof part, place) == sizeof part && part.p_type == PT_LOAD && part.p_align % page) good = 0;
        }
    close(file);
    if (!good) fprintf(stderr, "%s: program alignment cannot be smaller than system page size (%lu)\n", path, page);
    return good;
}

int main(int count, char **words) {
    char text[32] = "";
    int size = open("/test-phone/page_size", O_RDONLY);
    if (size < 0 || read(size, text, sizeof text - 1) <= 0 || count < 2) return 126;
    close(size);
    unsigned long page = strtoul(text, NULL, 10);
    int good = fits(words[1], page);
    DIR *folder = opendir(".");  // where a loader is told to look for libraries
    for (struct dirent *entry; folder && (entry = readdir(folder));)
        if (entry->d_type == DT_REG) good &= fits(entry->d_name, page);
    if (folder) closedir(folder);
    if (!good) return 127;
    words[0] = "/test-phone/qemu";
    execv(words[0], words);
    return 126;
}
