/*-------------------------------------------------------------------------
 *
 * fuzz.h
 *	  What the fuzz targets share.
 *
 * Copyright (c) 2026, the outbox developers
 *
 * Purpose: input, models of messages, checks.
 * Process: a single-user backend.
 * Transaction: the caller's.
 * Memory: palloc'ed in a context that lives as long as one input.
 * Errors: what is not as it should be ends the process, for libFuzzer to see.
 * Locks: none.
 *
 *-------------------------------------------------------------------------
 */
#ifndef FUZZ_H
#define FUZZ_H

#include "outbox.h"

#include "decode.h"
#include "targets/target.h"
#include "utils/jsonb.h"

/* what asynq's times may be at most, in seconds; and times since 1970 */
#define LONGEST			INT64CONST(31622400000)
#define UNIX_US(t)		((t) + INT64CONST(946684800000000))

/* what the fuzzer says; zeros when it has no more to say */
typedef struct Input
{
	const uint8_t *at;
	const uint8_t *end;
} Input;

/* the same in the server's encoding and in UTF-8 */
typedef struct Text
{
	StringInfoData server;
	StringInfoData utf8;
} Text;

typedef struct Header
{
	Text		name;
	Text		value;
} Header;

/* a message, and what is expected to arrive of it */
typedef struct Model
{
	OutboxMessage msg;
	char		id[37];
	Text		type;
	Text		key;
	OutboxBytes payload;
	int			nheaders;
	Header	   *headers;
	Text		error;			/* the last one, of streams whose consumers see it */
	/* options of asynq */
	int64		max_retry;
	int64		timeout;
	int64		deadline;
	int64		retention;
	int64		unique_ttl;
	int64		process_at;
	Text		unique_key;
	Text		group;
} Model;

/* the queue of this input, and what has been encoded */
extern OutboxQueue queue;
extern Text queue_name;
extern Text redis_key;
extern OutboxArgs args;

/* the arguments that were written, and which one is the next to be read */
extern OutboxBytes *decoded;
extern int	ndecoded;
extern int	next;

#define check(condition) \
	do { if (!(condition)) wrong(__FILE__, __LINE__, #condition); } while (0)

extern uint64 take(Input *in, int bytes);
extern bool	take_bool(Input *in);
extern int64 take_number(Input *in, int64 max);
extern void	append_character(Text *text, Input *in);
extern void	append_text(Text *text, const char *ascii);
extern void	init_text(Text *text);
extern Text	take_text(Input *in, const char *prefix);
extern void	append_json(StringInfo out, const StringInfoData *s);
extern Jsonb *parse_json(char *text);
extern struct varlena *make_jsonb(Input *in, char *text);
extern Model *take_message(Input *in);
extern void	take_queue(Input *in, OutboxTarget target);
extern struct varlena *make_value(Input *in, const char *data, size_t len);
extern void	wrong(const char *file, int line, const char *what);
extern void	decode(void);
extern OutboxBytes next_arg(void);
extern bool	same(OutboxBytes a, const char *data, size_t len);
extern bool	equal_text(OutboxBytes a, const Text *text);
extern bool	next_is(const char *s);
extern bool	next_is_bytes(OutboxBytes bytes);
extern bool	next_is_text(const Text *text);
extern bool	next_is_number(int64 n);
extern int	next_count(void);
extern void	check_pairs(const Model *m, const Pair *pairs, int npairs);
extern void	check_headers_json(const Model *m, OutboxBytes bytes);
extern void	fuzz_commands(Input *in);
extern void	fuzz_asynq(Input *in);
extern void	fuzz_stream(Input *in);
extern void	fuzz_watermill(Input *in);
extern void	fuzz_jobs(Input *in);
extern void	fuzz_json(Input *in);
extern void	fuzz_function(Input *in);
extern void	fuzz_options(Input *in);
extern void	fuzz_url(Input *in);
extern void	append_stringinfo(StringInfo out, const StringInfoData *s);

#endif							/* FUZZ_H */
