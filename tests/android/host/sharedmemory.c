// What the NNAPI delegate takes from Android's libandroid.so.

#define _GNU_SOURCE
#include <stddef.h>
#include <sys/mman.h>
#include <unistd.h>

int ASharedMemory_create(const char *name, size_t size) {
    int file = memfd_create(name ? name : "shared", 0);
    return file >= 0 && ftruncate(file, size) == 0 ? file : -1;
}
