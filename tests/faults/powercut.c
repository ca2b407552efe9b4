/* Logs every call that changes files below a folder, in the order of execution, and makes chosen
 * calls fail. Preloaded into the process under test; the reader is tests/rust/support/powercut.rs.
 *
 *   POWERCUT_DIR      the folder watched (absolute, no links)
 *   POWERCUT_LOG      the operation log to append to (outside that folder)
 *   POWERCUT_ACK      writes to this file are logged as acknowledgements
 *   POWERCUT_FAIL_AT  the number, from 1, of the call below the folder that fails; counted for:
 *                     open that creates, write, truncate, rename, unlink, mkdir, fsync, fdatasync,
 *                     sync_file_range
 *   POWERCUT_FAIL     eio | enospc | erofs | short (half of a write, then ENOSPC for each later write)
 *   POWERCUT_STICKY   set: every later counted call fails too
 *
 * A record: u8 kind, u64 inode, u64 number, u32 length of path, u32 length of data, path, data.
 * One lock is held over the call and its record, so that the log is the order. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

enum { CREATE = 1, TRUNCATE, WRITE, RENAME, UNLINK, SYNC, SYNC_FOLDER, MKDIR, ACK, FAILED };

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static const char *dir, *ack;
static size_t dir_length;
static int log_fd = -1;
static long fail_at, counted;
static int fail_errno, fail_short, sticky, full;

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

__attribute__((constructor)) static void start(void)
{
    const char *log = getenv("POWERCUT_LOG"), *at = getenv("POWERCUT_FAIL_AT");
    const char *kind = getenv("POWERCUT_FAIL");
    dir = getenv("POWERCUT_DIR");
    ack = getenv("POWERCUT_ACK");
    if (!dir)
        return;
    dir_length = strlen(dir);
    if (log)
        log_fd = (int)syscall(SYS_openat, AT_FDCWD, log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (at && kind) {
        fail_at = atol(at);
        fail_short = !strcmp(kind, "short");
        fail_errno = !strcmp(kind, "eio") ? EIO : !strcmp(kind, "erofs") ? EROFS : ENOSPC;
        sticky = getenv("POWERCUT_STICKY") != NULL;
    }
}

static void record(uint8_t kind, uint64_t inode, uint64_t number, const char *path,
                   const void *data, size_t length)
{
    unsigned char head[25];
    uint32_t path_length = path ? (uint32_t)strlen(path) : 0, data_length = (uint32_t)length;
    size_t done = 0, total;
    unsigned char *all;
    if (log_fd < 0)
        return;
    head[0] = kind;
    memcpy(head + 1, &inode, 8);
    memcpy(head + 9, &number, 8);
    memcpy(head + 17, &path_length, 4);
    memcpy(head + 21, &data_length, 4);
    total = sizeof head + path_length + length;
    all = malloc(total);
    if (!all)
        abort();
    memcpy(all, head, sizeof head);
    if (path_length)
        memcpy(all + sizeof head, path, path_length);
    if (length)
        memcpy(all + sizeof head + path_length, data, length);
    while (done < total) {
        long wrote = syscall(SYS_write, log_fd, all + done, total - done);
        if (wrote <= 0)
            abort();
        done += (size_t)wrote;
    }
    free(all);
}

static int below(const char *path)
{
    return dir && !strncmp(path, dir, dir_length) && (path[dir_length] == '/' || !path[dir_length]);
}

/* The absolute path of (at, path), without following a link in the last part. */
static int absolute(int at, const char *path, char *out, size_t size)
{
    char base[4096], link[64];
    ssize_t length;
    if (path[0] == '/')
        return snprintf(out, size, "%s", path) < (int)size;
    if (at == AT_FDCWD) {
        if (!getcwd(base, sizeof base))
            return 0;
    } else {
        snprintf(link, sizeof link, "/proc/self/fd/%d", at);
        length = readlink(link, base, sizeof base - 1);
        if (length < 0)
            return 0;
        base[length] = 0;
    }
    return snprintf(out, size, "%s/%s", base, path) < (int)size;
}

/* 0: not ours; 1: a file or folder below the folder; 2: the acknowledgements. */
static int known(int fd, struct stat *data, char *path, size_t size)
{
    char link[64];
    ssize_t length;
    if (!dir || fd < 0 || fd == log_fd)
        return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    length = readlink(link, path, size - 1);
    if (length <= 0)
        return 0;
    path[length] = 0;
    if (fstat(fd, data))
        return 0;
    if (ack && !strcmp(path, ack))
        return 2;
    return below(path);
}

/* Whether the counted call at hand is to fail. */
static int fails(int is_write)
{
    if (!fail_at)
        return 0;
    if (full && is_write)
        return 1;
    counted++;
    if (counted == fail_at || (sticky && counted > fail_at)) {
        record(FAILED, 0, (uint64_t)counted, NULL, NULL, 0);
        return 1;
    }
    return 0;
}

static ssize_t put(int fd, const void *data, size_t length, off64_t offset, int at)
{
    static __typeof__(&write) real_write;
    static __typeof__(&pwrite64) real_pwrite;
    char path[4096];
    struct stat info;
    ssize_t done;
    int error, kind;
    if (!real_write) {
        real_write = REAL(write);
        real_pwrite = REAL(pwrite64);
    }
    error = errno;
    kind = known(fd, &info, path, sizeof path);
    errno = error;
    if (!kind)
        return at ? real_pwrite(fd, data, length, offset) : real_write(fd, data, length);
    pthread_mutex_lock(&mutex);
    if (kind == 1 && fails(1)) {
        if (!fail_short || full || length < 2) {
            pthread_mutex_unlock(&mutex);
            errno = fail_errno;
            return -1;
        }
        full = 1;
        length /= 2;
    }
    if (!at)
        offset = fcntl(fd, F_GETFL) & O_APPEND ? info.st_size : lseek64(fd, 0, SEEK_CUR);
    done = at ? real_pwrite(fd, data, length, offset) : real_write(fd, data, length);
    error = errno;
    if (done > 0 && kind == 2)
        record(ACK, 0, 0, NULL, data, (size_t)done);
    else if (done > 0 && S_ISREG(info.st_mode))
        record(WRITE, info.st_ino, (uint64_t)offset, NULL, data, (size_t)done);
    pthread_mutex_unlock(&mutex);
    errno = error;
    return done;
}

ssize_t write(int fd, const void *data, size_t length) { return put(fd, data, length, 0, 0); }
ssize_t pwrite(int fd, const void *data, size_t length, off_t offset)
{
    return put(fd, data, length, offset, 1);
}
ssize_t pwrite64(int fd, const void *data, size_t length, off64_t offset)
{
    return put(fd, data, length, offset, 1);
}

/* Vectors go in their first part only: a short write, which every caller must take. */
ssize_t writev(int fd, const struct iovec *parts, int count)
{
    static __typeof__(&writev) real;
    char path[4096];
    struct stat info;
    int i, error = errno, kind = known(fd, &info, path, sizeof path);
    errno = error;
    if (!real)
        real = REAL(writev);
    for (i = 0; kind && i < count; i++)
        if (parts[i].iov_len)
            return put(fd, parts[i].iov_base, parts[i].iov_len, 0, 0);
    return real(fd, parts, count);
}
ssize_t pwritev64(int fd, const struct iovec *parts, int count, off64_t offset)
{
    int i;
    for (i = 0; i < count; i++)
        if (parts[i].iov_len)
            return put(fd, parts[i].iov_base, parts[i].iov_len, offset, 1);
    return 0;
}
ssize_t pwritev(int fd, const struct iovec *parts, int count, off_t offset)
{
    return pwritev64(fd, parts, count, offset);
}

static int shrink(int fd, off64_t length)
{
    static __typeof__(&ftruncate64) real;
    char path[4096];
    struct stat info;
    int done, error, kind = known(fd, &info, path, sizeof path);
    if (!real)
        real = REAL(ftruncate64);
    if (kind != 1)
        return real(fd, length);
    pthread_mutex_lock(&mutex);
    if (fails(0)) {
        pthread_mutex_unlock(&mutex);
        errno = fail_errno;
        return -1;
    }
    done = real(fd, length);
    error = errno;
    if (!done)
        record(TRUNCATE, info.st_ino, (uint64_t)length, NULL, NULL, 0);
    pthread_mutex_unlock(&mutex);
    errno = error;
    return done;
}
int ftruncate(int fd, off_t length) { return shrink(fd, length); }
int ftruncate64(int fd, off64_t length) { return shrink(fd, length); }

static int barrier(int fd, int (*real)(int))
{
    char path[4096];
    struct stat info;
    int done, error, kind = known(fd, &info, path, sizeof path);
    if (kind != 1)
        return real(fd);
    pthread_mutex_lock(&mutex);
    if (fails(0)) {
        pthread_mutex_unlock(&mutex);
        errno = fail_errno;
        return -1;
    }
    /* The model keeps what a barrier covers: the device itself need not be asked. */
    done = getenv("POWERCUT_REAL_SYNC") ? real(fd) : 0;
    error = errno;
    if (!done)
        record(S_ISDIR(info.st_mode) ? SYNC_FOLDER : SYNC, info.st_ino, 0, path, NULL, 0);
    pthread_mutex_unlock(&mutex);
    errno = error;
    return done;
}
int fsync(int fd) { return barrier(fd, REAL(fsync)); }
int fdatasync(int fd) { return barrier(fd, REAL(fdatasync)); }

/* Starts write-back and waits for it, but neither flushes the device's cache nor writes the
 * file's size and block map: no barrier, so nothing is recorded. */
int sync_file_range(int fd, off64_t offset, off64_t length, unsigned int flags)
{
    static __typeof__(&sync_file_range) real;
    char path[4096];
    struct stat info;
    int bad;
    if (!real)
        real = REAL(sync_file_range);
    if (known(fd, &info, path, sizeof path) != 1)
        return real(fd, offset, length, flags);
    pthread_mutex_lock(&mutex);
    bad = fails(0);
    pthread_mutex_unlock(&mutex);
    if (bad) {
        errno = fail_errno;
        return -1;
    }
    return getenv("POWERCUT_REAL_SYNC") ? real(fd, offset, length, flags) : 0;
}

static int opened(int at, const char *name, int flags, mode_t mode)
{
    char path[4096];
    struct stat info;
    int fd, error, absent;
    if (!dir || !(flags & (O_CREAT | O_TRUNC)) || (flags & O_TMPFILE) == O_TMPFILE ||
        !absolute(at, name, path, sizeof path) || !below(path))
        return (int)syscall(SYS_openat, at, name, flags | O_LARGEFILE, mode);
    pthread_mutex_lock(&mutex);
    absent = lstat(path, &info) != 0;
    if ((absent || flags & O_TRUNC) && fails(0)) {
        pthread_mutex_unlock(&mutex);
        errno = fail_errno;
        return -1;
    }
    fd = (int)syscall(SYS_openat, at, name, flags | O_LARGEFILE, mode);
    error = errno;
    if (fd >= 0 && !fstat(fd, &info)) {
        if (absent)
            record(CREATE, info.st_ino, 0, path, NULL, 0);
        else if (flags & O_TRUNC)
            record(TRUNCATE, info.st_ino, 0, NULL, NULL, 0);
    }
    pthread_mutex_unlock(&mutex);
    errno = error;
    return fd;
}

#define MODE(flags)                                                                               \
    mode_t mode = 0;                                                                              \
    if ((flags) & (O_CREAT | O_TMPFILE)) {                                                        \
        va_list rest;                                                                             \
        va_start(rest, flags);                                                                    \
        mode = va_arg(rest, mode_t);                                                              \
        va_end(rest);                                                                             \
    }
int open(const char *name, int flags, ...) { MODE(flags) return opened(AT_FDCWD, name, flags, mode); }
int open64(const char *name, int flags, ...) { MODE(flags) return opened(AT_FDCWD, name, flags, mode); }
int openat(int at, const char *name, int flags, ...) { MODE(flags) return opened(at, name, flags, mode); }
int openat64(int at, const char *name, int flags, ...) { MODE(flags) return opened(at, name, flags, mode); }
int __open_2(const char *name, int flags) { return opened(AT_FDCWD, name, flags, 0); }
int __open64_2(const char *name, int flags) { return opened(AT_FDCWD, name, flags, 0); }
int __openat_2(int at, const char *name, int flags) { return opened(at, name, flags, 0); }
int __openat64_2(int at, const char *name, int flags) { return opened(at, name, flags, 0); }
int creat(const char *name, mode_t mode) { return opened(AT_FDCWD, name, O_CREAT | O_WRONLY | O_TRUNC, mode); }
int creat64(const char *name, mode_t mode) { return creat(name, mode); }

static int moved(int from_at, const char *from, int to_at, const char *to)
{
    char old[4096], new[4096];
    struct stat info;
    int done, error;
    if (!dir || !absolute(from_at, from, old, sizeof old) || !absolute(to_at, to, new, sizeof new) ||
        !below(old) || !below(new))
        return (int)syscall(SYS_renameat2, from_at, from, to_at, to, 0);
    pthread_mutex_lock(&mutex);
    if (fails(0)) {
        pthread_mutex_unlock(&mutex);
        errno = fail_errno;
        return -1;
    }
    memset(&info, 0, sizeof info);
    lstat(old, &info);
    done = (int)syscall(SYS_renameat2, from_at, from, to_at, to, 0);
    error = errno;
    if (!done)
        record(RENAME, info.st_ino, 0, old, new, strlen(new));
    pthread_mutex_unlock(&mutex);
    errno = error;
    return done;
}
int rename(const char *from, const char *to) { return moved(AT_FDCWD, from, AT_FDCWD, to); }
int renameat(int from_at, const char *from, int to_at, const char *to) { return moved(from_at, from, to_at, to); }

static int removed(int at, const char *name, int flags)
{
    char path[4096];
    int done, error;
    if (!dir || !absolute(at, name, path, sizeof path) || !below(path))
        return (int)syscall(SYS_unlinkat, at, name, flags);
    pthread_mutex_lock(&mutex);
    if (fails(0)) {
        pthread_mutex_unlock(&mutex);
        errno = fail_errno;
        return -1;
    }
    done = (int)syscall(SYS_unlinkat, at, name, flags);
    error = errno;
    if (!done)
        record(UNLINK, 0, 0, path, NULL, 0);
    pthread_mutex_unlock(&mutex);
    errno = error;
    return done;
}
int unlink(const char *name) { return removed(AT_FDCWD, name, 0); }
int rmdir(const char *name) { return removed(AT_FDCWD, name, AT_REMOVEDIR); }
int unlinkat(int at, const char *name, int flags) { return removed(at, name, flags); }

static int made(int at, const char *name, mode_t mode)
{
    char path[4096];
    int done, error;
    if (!dir || !absolute(at, name, path, sizeof path) || !below(path))
        return (int)syscall(SYS_mkdirat, at, name, mode);
    pthread_mutex_lock(&mutex);
    if (fails(0)) {
        pthread_mutex_unlock(&mutex);
        errno = fail_errno;
        return -1;
    }
    done = (int)syscall(SYS_mkdirat, at, name, mode);
    error = errno;
    if (!done)
        record(MKDIR, 0, 0, path, NULL, 0);
    pthread_mutex_unlock(&mutex);
    errno = error;
    return done;
}
int mkdir(const char *name, mode_t mode) { return made(AT_FDCWD, name, mode); }
int mkdirat(int at, const char *name, mode_t mode) { return made(at, name, mode); }
