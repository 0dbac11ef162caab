// What Android libraries expect of Android's C library (bionic) and of liblog.so, on top of glibc.
//
// Built as liblog.so. debionic.py gives the functions that differ a name that ends in X.

#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

// ---- liblog: all goes to stderr

int __android_log_vprint(int priority, const char *tag, const char *format, va_list arguments) {
    fprintf(stderr, "[%s] ", tag);
    vfprintf(stderr, format, arguments);
    fputc('\n', stderr);
    return 1;
}

int __android_log_print(int priority, const char *tag, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    int written = __android_log_vprint(priority, tag, format, arguments);
    va_end(arguments);
    return written;
}

int __android_log_write(int priority, const char *tag, const char *message) {
    return __android_log_print(priority, tag, "%s", message);
}

// ---- Functions that glibc lacks

int *__errno(void) { return &errno; }

size_t __strlen_chk(const char *text, size_t size) { return strlen(text); }

// System properties: API level 34, and nothing else is set.
int __system_property_get(const char *name, char *value) {
    strcpy(value, strstr(name, "sdk") ? "34" : "");
    return strlen(value);
}

void android_set_abort_message(const char *message) { fprintf(stderr, "abort: %s\n", message); }

// ---- Streams: bionic's stdin, stdout and stderr are the elements of an array

#define BIONIC_FILE_BYTES 152
char __sF[3 * BIONIC_FILE_BYTES];

static FILE *glibc_stream(FILE *stream) {
    char *address = (char *)stream;
    if (address < __sF || address >= __sF + sizeof __sF)
        return stream;
    FILE *streams[] = {stdin, stdout, stderr};
    return streams[(address - __sF) / BIONIC_FILE_BYTES];
}

int vfprintX(FILE *stream, const char *format, va_list arguments) {
    return vfprintf(glibc_stream(stream), format, arguments);
}

int fprintX(FILE *stream, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    int written = vfprintf(glibc_stream(stream), format, arguments);
    va_end(arguments);
    return written;
}

size_t fwritX(const void *data, size_t size, size_t count, FILE *stream) {
    return fwrite(data, size, count, glibc_stream(stream));
}

int fputX(int character, FILE *stream) { return fputc(character, glibc_stream(stream)); }

int fflusX(FILE *stream) { return fflush(stream ? glibc_stream(stream) : stream); }

// ---- Numbers and signatures that differ

long sysconX(int name) {
    switch (name) {  // bionic's numbers
        case 39:
        case 40:
            return sysconf(_SC_PAGESIZE);
        case 96:
            return sysconf(_SC_NPROCESSORS_CONF);
        case 97:
            return sysconf(_SC_NPROCESSORS_ONLN);
        case 98:
            return sysconf(_SC_PHYS_PAGES);
        default:
            return sysconf(name);
    }
}

extern int __xpg_strerror_r(int number, char *text, size_t size);

int strerror_X(int number, char *text, size_t size) { return __xpg_strerror_r(number, text, size); }

// ---- Mutexes and conditions
//
// bionic's take 40 and 48 bytes, aligned to 4; glibc's are larger on arm64 and aligned to 8, so they cannot lie in the
// same place. The caller's first word becomes a number (marked in its top byte) into a table of glibc's own.

#define MARK 0x5au
#define RECURSIVE 0x4000u  // how bionic marks a recursive mutex in the same word
#define MOST_OBJECTS (1 << 16)

static void *objects[MOST_OBJECTS];
static uint32_t objects_used;
static pthread_mutex_t objects_lock = PTHREAD_MUTEX_INITIALIZER;

static void *new_mutex(uint32_t word) {
    pthread_mutexattr_t attributes;
    pthread_mutexattr_init(&attributes);
    if (word & RECURSIVE)
        pthread_mutexattr_settype(&attributes, PTHREAD_MUTEX_RECURSIVE);
    pthread_mutex_t *mutex = calloc(1, sizeof *mutex);
    pthread_mutex_init(mutex, &attributes);
    return mutex;
}

static void *new_condition(uint32_t word) {
    pthread_cond_t *condition = calloc(1, sizeof *condition);
    pthread_cond_init(condition, NULL);
    return condition;
}

static void *object(int32_t *storage, void *(*make)(uint32_t)) {
    uint32_t *word = (uint32_t *)storage;
    uint32_t value = __atomic_load_n(word, __ATOMIC_ACQUIRE);
    if (value >> 24 == MARK)
        return objects[value & 0xffff];
    pthread_mutex_lock(&objects_lock);
    value = *word;
    if (value >> 24 != MARK) {
        if (objects_used >= MOST_OBJECTS)
            abort();
        objects[objects_used] = make(value);
        value = MARK << 24 | objects_used++;
        __atomic_store_n(word, value, __ATOMIC_RELEASE);
    }
    pthread_mutex_unlock(&objects_lock);
    return objects[value & 0xffff];
}

static pthread_mutex_t *mutex(int32_t *storage) { return object(storage, new_mutex); }

static pthread_cond_t *condition(int32_t *storage) { return object(storage, new_condition); }

int pthread_mutex_iniX(int32_t *storage, const long *attributes) {
    *storage = attributes && (*attributes & 15) == 1 ? RECURSIVE : 0;
    return 0;
}

int pthread_mutex_destroX(int32_t *storage) {
    *storage = 0;
    return 0;
}

int pthread_mutex_locX(int32_t *storage) { return pthread_mutex_lock(mutex(storage)); }

int pthread_mutex_trylocX(int32_t *storage) { return pthread_mutex_trylock(mutex(storage)); }

int pthread_mutex_unlocX(int32_t *storage) { return pthread_mutex_unlock(mutex(storage)); }

int pthread_cond_iniX(int32_t *storage, const void *attributes) {
    *storage = 0;
    return 0;
}

int pthread_cond_destroX(int32_t *storage) {
    *storage = 0;
    return 0;
}

int pthread_cond_signaX(int32_t *storage) { return pthread_cond_signal(condition(storage)); }

int pthread_cond_broadcasX(int32_t *storage) { return pthread_cond_broadcast(condition(storage)); }

int pthread_cond_waiX(int32_t *storage, int32_t *lock) { return pthread_cond_wait(condition(storage), mutex(lock)); }

int pthread_cond_timedwaiX(int32_t *storage, int32_t *lock, const struct timespec *until) {
    return pthread_cond_timedwait(condition(storage), mutex(lock), until);
}
