/* A clock that was set back, laid under one program with LD_PRELOAD: it goes as fast as that of the machine, and
 * LUMOS_CLOCK_BACK_S seconds behind it. Clocks that only count from some start are left as they are. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdlib.h>
#include <sys/time.h>
#include <time.h>

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

static time_t back(void) {
    const char *seconds = getenv("LUMOS_CLOCK_BACK_S");
    return seconds ? atoll(seconds) : 0;
}

int clock_gettime(clockid_t clock, struct timespec *now) {
    int problem = REAL(clock_gettime)(clock, now);
    int of_day = clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE;
    if (problem == 0 && of_day) now->tv_sec -= back();
    return problem;
}

int gettimeofday(struct timeval *restrict now, void *restrict zone) {
    int problem = REAL(gettimeofday)(now, zone);
    if (problem == 0) now->tv_sec -= back();
    return problem;
}

time_t time(time_t *into) {
    time_t now = REAL(time)(NULL) - back();
    if (into) *into = now;
    return now;
}
