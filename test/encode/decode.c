/*-------------------------------------------------------------------------
 *
 * decode.c
 *	  What the encoders write, read again, for tests.
 *
 * Copyright (c) 2026, the outbox developers
 *
 * Design notes
 *
 * Written from the formats' descriptions: the Redis protocol's bulk strings,
 * protocol buffers' wire format, msgpack.  Of what these allow only what the
 * clients' own libraries write is taken: numbers in as few bytes as will do,
 * fields in ascending order, no fields with the default value, nothing behind
 * the end.
 *
 *-------------------------------------------------------------------------
 */
#include "decode.h"

typedef struct Input
{
	const unsigned char *at;
	const unsigned char *end;
} Input;

#define corrupted(...) \
	ereport(ERROR, (errcode(ERRCODE_DATA_CORRUPTED), errmsg(__VA_ARGS__)))

static Input
input(OutboxBytes bytes)
{
	const unsigned char *at = (const unsigned char *) bytes.data;

	return (Input) {at, at + bytes.len};
}

static int
next_byte(Input *in)
{
	if (in->at >= in->end)
		corrupted("the end comes too early");
	return *in->at++;
}

static OutboxBytes
next_bytes(Input *in, uint64 len)
{
	OutboxBytes bytes = {(const char *) in->at, len};

	if (len > in->end - in->at)
		corrupted("the end comes too early");
	in->at += len;
	return bytes;
}

static void
expect(Input *in, char c)
{
	if (next_byte(in) != c)
		corrupted("where \"%c\" should be there is another byte", c);
}

OutboxBytes *
decode_resp(const char *data, size_t len, int *count)
{
	Input		in = input((OutboxBytes) {data, len});
	OutboxBytes *args = NULL;
	int			allocated = 0;

	for (*count = 0; in.at < in.end; (*count)++)
	{
		const unsigned char *digits;
		uint64		n = 0;

		expect(&in, '$');
		for (digits = in.at; in.at < in.end && *in.at >= '0' && *in.at <= '9'; in.at++)
			n = n * 10 + *in.at - '0';
		if (in.at == digits || (*digits == '0' && in.at > digits + 1))
			corrupted("a length is not a number");
		expect(&in, '\r');
		expect(&in, '\n');
		if (*count == allocated)
		{
			allocated = allocated * 2 + 16;
			args = args == NULL ? palloc(allocated * sizeof(OutboxBytes)) :
				repalloc(args, allocated * sizeof(OutboxBytes));
		}
		args[*count] = next_bytes(&in, n);
		expect(&in, '\r');
		expect(&in, '\n');
	}
	return args;
}

static uint64
next_varint(Input *in)
{
	uint64		n = 0;
	int			byte;
	int			shift = 0;

	do
	{
		byte = next_byte(in);
		if (shift == 63 && byte > 1)
			corrupted("a varint has more than 64 bits");
		n |= (uint64) (byte & 0x7f) << shift;
		shift += 7;
	} while (byte & 0x80);
	if (byte == 0 && shift > 7)
		corrupted("a varint is longer than it has to be");
	return n;
}

static Pair
next_map_entry(OutboxBytes bytes)
{
	Input		in = input(bytes);
	Pair		pair;

	expect(&in, 1 << 3 | 2);
	pair.name = next_bytes(&in, next_varint(&in));
	expect(&in, 2 << 3 | 2);
	pair.value = next_bytes(&in, next_varint(&in));
	if (in.at != in.end)
		corrupted("a header has more than name and value");
	return pair;
}

/*
 * asynq's TaskMessage as of asynq 0.26 (asynq.proto).
 */
void
decode_task(OutboxBytes bytes, Task *task)
{
	static const char wire[16] = {
		[1] = 's', [2] = 's', [3] = 's', [4] = 's', [5] = 'i', [6] = 'i', [7] = 's',
		[8] = 'i', [9] = 'i', [10] = 's', [11] = 'i', [12] = 'i', [13] = 'i',
		[14] = 's', [15] = 'm'
	};
	Input		in = input(bytes);
	uint64		last = 0;

	memset(task, 0, sizeof(Task));
	task->pairs = palloc((bytes.len / 6 + 1) * sizeof(Pair));
	while (in.at < in.end)
	{
		uint64		tag = next_varint(&in);
		uint64		field = tag >> 3;

		if (field < 1 || field > 15)
			corrupted("there is no field %d", (int) field);
		if ((tag & 7) != (wire[field] == 'i' ? 0 : 2))
			corrupted("field %d has the wrong type", (int) field);
		if (field < last || (field == last && wire[field] != 'm'))
			corrupted("field %d is not in its place", (int) field);
		last = field;
		if (wire[field] == 'i')
		{
			task->integers[field] = (int64) next_varint(&in);
			if (task->integers[field] == 0)
				corrupted("field %d is there though it is zero", (int) field);
			continue;
		}
		task->texts[field] = next_bytes(&in, next_varint(&in));
		if (wire[field] == 'm')
			task->pairs[task->npairs++] = next_map_entry(task->texts[field]);
		else if (task->texts[field].len == 0)
			corrupted("field %d is there though it is empty", (int) field);
	}
}

static uint32
next_big_endian(Input *in, int bytes, uint32 least)
{
	uint32		n = 0;

	while (bytes-- > 0)
		n = n << 8 | next_byte(in);
	if (n < least)
		corrupted("the length %u is longer than it has to be", n);
	return n;
}

static OutboxBytes
next_msgpack_string(Input *in)
{
	int			head = next_byte(in);

	if (head >= 0xa0 && head <= 0xbf)
		return next_bytes(in, head - 0xa0);
	switch (head)
	{
		case 0xd9:
			return next_bytes(in, next_big_endian(in, 1, 32));
		case 0xda:
			return next_bytes(in, next_big_endian(in, 2, 256));
		case 0xdb:
			return next_bytes(in, next_big_endian(in, 4, 65536));
	}
	corrupted("%02x begins no string of msgpack", head);
	return (OutboxBytes) {NULL, 0};
}

/*
 * A map of strings; nothing at all stands for an empty one.
 */
Pair *
decode_msgpack(OutboxBytes bytes, int *npairs)
{
	Input		in = input(bytes);
	Pair	   *pairs;
	int			head;

	*npairs = 0;
	if (bytes.len == 0)
		return NULL;
	head = next_byte(&in);
	if (head > 0x80 && head <= 0x8f)
		*npairs = head - 0x80;
	else if (head == 0xde)
		*npairs = next_big_endian(&in, 2, 16);
	else
		corrupted("%02x begins no map of msgpack", head);
	pairs = palloc(*npairs * sizeof(Pair));
	for (int i = 0; i < *npairs; i++)
	{
		pairs[i].name = next_msgpack_string(&in);
		pairs[i].value = next_msgpack_string(&in);
	}
	if (in.at != in.end)
		corrupted("something follows the map");
	return pairs;
}
