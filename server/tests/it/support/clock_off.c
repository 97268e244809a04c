/* Sets the wall clock of a program off by OFF seconds, for what asks it by clock_gettime: preloaded, with -DOFF=SECONDS. */
#define _GNU_SOURCE
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

int clock_gettime(clockid_t clock, struct timespec *time)
{
    long code = syscall(SYS_clock_gettime, clock, time);
    if (code == 0 && clock == CLOCK_REALTIME)
        time->tv_sec += OFF;
    return (int)code;
}
