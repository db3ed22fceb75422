/*
 * helper.h
 *	  What the benchmark's helpers in C share.
 *
 * Copyright (c) 2026, the outbox developers
 *
 * Include it first: it says which of the C library's names are wanted.
 */
#ifndef BENCH_HELPER_H
#define BENCH_HELPER_H

#define _GNU_SOURCE				/* program_invocation_short_name, gettid */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

/* say which helper could not do what, and why, and end */
static inline void
fail(const char *what, const char *why)
{
	fprintf(stderr, "%s: %s: %s\n", program_invocation_short_name, what, why);
	exit(1);
}

/* the time, which nobody sets */
static inline double
now_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1e6 + t.tv_nsec / 1e3;
}

#endif							/* BENCH_HELPER_H */
