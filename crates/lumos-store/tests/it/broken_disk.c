/* A disk that breaks when it is told to, laid under one program with LD_PRELOAD.
 *
 * The file that LUMOS_BROKEN_DISK names says what breaks, in one line: CALL HOW WHICH SKIP. Without it nothing does.
 *   CALL   write, sync, name (opening for writing, renaming, removing, making) or any
 *   HOW    EIO, ENOSPC, EROFS; or TORN: half of it is written, and the process ends on the spot
 *   WHICH  a pattern of paths, as a shell would match it
 *   SKIP   how many such calls of a process go well before
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

enum { FINE = 0, TORN = -1 };

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

/* What happens to this call on `path`: FINE, TORN, or an errno. Asks the kernel itself, past what is laid under. */
static int fate(const char *call, const char *path) {
    static long seen;
    const char *file = getenv("LUMOS_BROKEN_DISK");
    if (!file || !path) return FINE;
    long control = syscall(SYS_openat, AT_FDCWD, file, O_RDONLY | O_CLOEXEC, 0);
    if (control < 0) return FINE;
    char line[512] = {0};
    long read = syscall(SYS_read, control, line, sizeof line - 1);
    syscall(SYS_close, control);
    char calls[16], how[16], which[400];
    long skip = 0;
    if (read <= 0 || sscanf(line, "%15s %15s %399s %ld", calls, how, which, &skip) < 3) return FINE;
    if (strcmp(calls, "any") != 0 && strcmp(calls, call) != 0) return FINE;
    if (fnmatch(which, path, 0) != 0) return FINE;
    if (__atomic_fetch_add(&seen, 1, __ATOMIC_SEQ_CST) < skip) return FINE;
    if (strcmp(how, "EIO") == 0) return EIO;
    if (strcmp(how, "ENOSPC") == 0) return ENOSPC;
    if (strcmp(how, "EROFS") == 0) return EROFS;
    return strcmp(call, "write") == 0 ? TORN : FINE;
}

static int fate_of(const char *call, int fd) {
    char link[64], path[512] = {0};
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    if (syscall(SYS_readlinkat, AT_FDCWD, link, path, sizeof path - 1) <= 0) return FINE;
    return fate(call, path);
}

static int refuse(int problem) {
    errno = problem;
    return -1;
}

static void end(void) { kill(getpid(), SIGKILL); }

ssize_t write(int fd, const void *bytes, size_t count) {
    int problem = fate_of("write", fd);
    if (problem > 0) return refuse(problem);
    if (problem == TORN) {
        REAL(write)(fd, bytes, count / 2);
        end();
    }
    return REAL(write)(fd, bytes, count);
}

ssize_t pwrite64(int fd, const void *bytes, size_t count, off64_t at) {
    int problem = fate_of("write", fd);
    if (problem > 0) return refuse(problem);
    if (problem == TORN) {
        REAL(pwrite64)(fd, bytes, count / 2, at);
        end();
    }
    return REAL(pwrite64)(fd, bytes, count, at);
}

ssize_t pwrite(int fd, const void *bytes, size_t count, off_t at) { return pwrite64(fd, bytes, count, at); }

ssize_t pwritev64(int fd, const struct iovec *parts, int count, off64_t at) {
    int problem = fate_of("write", fd);
    if (problem > 0) return refuse(problem);
    if (problem == TORN && count > 0) {
        REAL(pwrite64)(fd, parts[0].iov_base, parts[0].iov_len / 2, at);
        end();
    }
    return REAL(pwritev64)(fd, parts, count, at);
}

ssize_t pwritev(int fd, const struct iovec *parts, int count, off_t at) { return pwritev64(fd, parts, count, at); }

int fsync(int fd) {
    int problem = fate_of("sync", fd);
    return problem > 0 ? refuse(problem) : REAL(fsync)(fd);
}

int fdatasync(int fd) {
    int problem = fate_of("sync", fd);
    return problem > 0 ? refuse(problem) : REAL(fdatasync)(fd);
}

int ftruncate64(int fd, off64_t size) {
    int problem = fate_of("write", fd);
    return problem > 0 ? refuse(problem) : REAL(ftruncate64)(fd, size);
}

int ftruncate(int fd, off_t size) { return ftruncate64(fd, size); }

#define OPENS(flags, path) \
    int problem = (flags) & (O_WRONLY | O_RDWR | O_CREAT) ? fate("name", path) : FINE; \
    if (problem > 0) return refuse(problem); \
    va_list more; \
    va_start(more, flags); \
    /* O_TMPFILE has the bit of O_DIRECTORY in it. */ \
    int makes = ((flags) & O_CREAT) || ((flags) & O_TMPFILE) == O_TMPFILE; \
    mode_t mode = makes ? va_arg(more, mode_t) : 0; \
    va_end(more)

int open64(const char *path, int flags, ...) {
    OPENS(flags, path);
    return REAL(open64)(path, flags, mode);
}

int open(const char *path, int flags, ...) {
    OPENS(flags, path);
    return REAL(open)(path, flags, mode);
}

int openat64(int dir, const char *path, int flags, ...) {
    OPENS(flags, path);
    return REAL(openat64)(dir, path, flags, mode);
}

int openat(int dir, const char *path, int flags, ...) {
    OPENS(flags, path);
    return REAL(openat)(dir, path, flags, mode);
}

int rename(const char *from, const char *to) {
    int problem = fate("name", to);
    return problem > 0 ? refuse(problem) : REAL(rename)(from, to);
}

int unlink(const char *path) {
    int problem = fate("name", path);
    return problem > 0 ? refuse(problem) : REAL(unlink)(path);
}

int mkdir(const char *path, mode_t mode) {
    int problem = fate("name", path);
    return problem > 0 ? refuse(problem) : REAL(mkdir)(path, mode);
}
