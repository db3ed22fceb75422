/*-------------------------------------------------------------------------
 *
 * fuzz.c
 *	  libFuzzer within a backend, for the encoders.
 *
 * Copyright (c) 2026, the outbox developers
 *
 * Design notes
 *
 * The encoders use palloc, jsonb, elog and conversions of encodings, and so
 * need a backend.  This is a single-user one, see the script "fuzz": it loads
 * the encoders compiled with the fuzzer's counters, and libFuzzer, which is a
 * library here and never comes back.
 *
 * From the fuzzer's bytes each target makes a queue and messages, and knows
 * what ought to be sent, in UTF-8, without any code of src: text is made twice,
 * in the server's encoding and in UTF-8.  What the encoder wrote is decoded
 * (decode.c), or parsed by PostgreSQL if it is JSON, and compared.  Commands
 * are also made of any text, and understood by the slow and simple expand().
 *
 * Values have long headers or short ones, and end where a page begins that
 * nobody may read: who reads past them is seen.
 *
 *-------------------------------------------------------------------------
 */
#include "fuzz.h"

#include <sys/mman.h>
#include <unistd.h>

#include "catalog/pg_type.h"
#include "fmgr.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/memutils.h"

PG_MODULE_MAGIC;
PG_FUNCTION_INFO_V1(fuzz);

extern int	LLVMFuzzerRunDriver(int *argc, char ***argv,
								int (*callback) (const uint8_t *data, size_t size));

/* room for values, each with a page behind it that can't be read */
#define MAX_VALUES	64
#define MAX_VALUE	(1 << 20)

static char *values[MAX_VALUES];
static int	nvalues;

void
wrong(const char *file, int line, const char *what)
{
	fprintf(stderr, "%s:%d: not so: %s\n", file, line, what);
	abort();
}

/*
 * A value behind which there is nothing to be read.
 */
struct varlena *
make_value(Input *in, const char *data, size_t len)
{
	bool		brief = len + VARHDRSZ_SHORT <= VARATT_SHORT_MAX && take_bool(in);
	size_t		size = len + (brief ? VARHDRSZ_SHORT : VARHDRSZ);
	struct varlena *value;

	check(nvalues < MAX_VALUES);
	if (size > MAX_VALUE)
		value = palloc(size);
	else
		value = (struct varlena *) (values[nvalues++] + MAX_VALUE -
									(brief ? size : INTALIGN(size)));
	if (brief)
		SET_VARSIZE_SHORT(value, size);
	else
		SET_VARSIZE(value, size);
	memcpy(VARDATA_ANY(value), data, len);
	return value;
}

static const struct
{
	const char *name;
	void		(*run) (Input *in);
}			targets[] =
{
	{"asynq", fuzz_asynq}, {"commands", fuzz_commands}, {"function", fuzz_function},
	{"jobs", fuzz_jobs}, {"json", fuzz_json}, {"options", fuzz_options}, {"stream", fuzz_stream},
	{"url", fuzz_url}, {"watermill", fuzz_watermill}
};

static MemoryContext scratch;
static void (*run_target) (Input *in);

static int
run(const uint8_t *data, size_t size)
{
	Input		in = {data, data + size};

	MemoryContextSwitchTo(scratch);
	PG_TRY();
	{
		run_target(&in);
	}
	PG_CATCH();
	{
		MemoryContextSwitchTo(scratch);
		fprintf(stderr, "error: %s\n", CopyErrorData()->message);
		abort();
	}
	PG_END_TRY();
	nvalues = 0;
	MemoryContextReset(scratch);
	return 0;
}

static void
make_room(void)
{
	for (int i = 0; i < MAX_VALUES; i++)
	{
		values[i] = mmap(NULL, MAX_VALUE + getpagesize(), PROT_READ | PROT_WRITE,
						 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		if (values[i] == MAP_FAILED ||
			mprotect(values[i] + MAX_VALUE, getpagesize(), PROT_NONE) != 0)
			elog(ERROR, "no memory for values: %m");
	}
}

/*
 * fuzz(target, libFuzzer's arguments...)
 */
Datum
fuzz(PG_FUNCTION_ARGS)
{
	char	   *name = text_to_cstring(PG_GETARG_TEXT_PP(0));
	ArrayType  *array = PG_GETARG_ARRAYTYPE_P(1);
	Datum	   *arguments;
	int			argc;
	char	  **argv;

	deconstruct_array(array, ARR_ELEMTYPE(array), -1, false, TYPALIGN_INT, &arguments, NULL,
					  &argc);
	argv = palloc0((argc + 2) * sizeof(char *));
	argv[0] = name;
	for (int i = 0; i < argc; i++)
		argv[i + 1] = TextDatumGetCString(arguments[i]);
	argc++;
	for (int i = 0; i < lengthof(targets); i++)
		if (strcmp(targets[i].name, name) == 0)
			run_target = targets[i].run;
	if (run_target == NULL)
		elog(ERROR, "no target %s", name);
	scratch = AllocSetContextCreate(TopMemoryContext, "fuzz", ALLOCSET_DEFAULT_SIZES);
	make_room();
	LLVMFuzzerRunDriver(&argc, &argv, run);
	PG_RETURN_VOID();
}
