/*-------------------------------------------------------------------------
 *
 * description.c
 *	  A job, described in JSON.
 *
 * Copyright (c) 2026, the outbox developers
 *
 * Design notes
 *
 * A worker trusts the clients of its own system, so what these would not write may
 * end it: Celery's dies over a message that it cannot read, with the message lost.
 * So every member of a description has a kind, and others are refused.
 *
 * A description is read twice in the same way: when it is enqueued, to tell the
 * caller what is wrong, and when it is delivered, as somebody may have edited the
 * row.  Names are compared as they are written; one with an escape sequence is
 * nobody's.  An optional member that is null counts as not there.
 *
 * A fault gets into the server's log.  So it names members that a description
 * has, and of others says only where they begin.
 *
 *-------------------------------------------------------------------------
 */
#include "targets/description.h"

#include "mb/pg_wchar.h"
#include "targets/iso_time.h"

static const char *const kind_names[] = {
	[OUTBOX_MEMBER_NAME] = "a string that is not empty",
	[OUTBOX_MEMBER_TEXT] = "a string",
	[OUTBOX_MEMBER_ARRAY] = "an array",
	[OUTBOX_MEMBER_OBJECT] = "an object",
	[OUTBOX_MEMBER_FLAG] = "true or false",
	[OUTBOX_MEMBER_COUNT] = "an integer from 0 to 1000000000",
	[OUTBOX_MEMBER_TTL] = "an integer from 0 to 1000000000, or -1",
	[OUTBOX_MEMBER_FLAG_OR_COUNT] = "true, false or an integer from 0 to 1000000000",
	[OUTBOX_MEMBER_SECONDS] = "a number greater than 0, up to 1000000000",
	[OUTBOX_MEMBER_TIME] = "a time with its time zone, like \"2030-01-31T12:00:00Z\"",
	[OUTBOX_MEMBER_NAMES] = "an array of strings that are not empty",
	[OUTBOX_MEMBER_COUNTS] = "an array of integers from 0 to 1000000000, at least one"
};

static bool
is_count(OutboxBytes value)
{
	int64		n = 0;

	if (value.len > 10)
		return false;
	for (size_t i = 0; i < value.len; i++)
	{
		if (value.data[i] < '0' || value.data[i] > '9')
			return false;
		n = n * 10 + (value.data[i] - '0');
	}
	return n <= OUTBOX_MAX_COUNT;
}

static bool
is_seconds(OutboxBytes value)
{
	double		n;

	if (value.data[0] < '0' || value.data[0] > '9')
		return false;
	n = strtod(pnstrdup(value.data, value.len), NULL);
	return n > 0 && n <= OUTBOX_MAX_COUNT;
}

static bool
is_flag(OutboxBytes value)
{
	return value.data[0] == 't' || value.data[0] == 'f';
}

static bool
is_name(OutboxBytes value)
{
	return value.data[0] == '"' && value.len > 2;
}

static bool
is_time(OutboxBytes value)
{
	int64		us;

	return value.data[0] == '"' &&
		outbox_iso_time((OutboxBytes) {value.data + 1, value.len - 2}, &us);
}

/*
 * The same of all elements of an array; the number of them, or -1.
 */
static int
array_of(OutboxBytes value, bool (*is_one) (OutboxBytes element))
{
	OutboxJsonScan scan = {value.data, value.data + value.len, NULL};
	OutboxBytes element;
	bool		first = true;
	int			n = 0;

	if (!outbox_scan_open(&scan, '['))
		return -1;
	for (; outbox_scan_next(&scan, ']', &first); n++)
		if (!outbox_scan_value(&scan, 1, &element) || !is_one(element))
			return -1;
	return n;
}

/*
 * Is a value, which has been scanned, of this kind?
 */
static bool
is_of_kind(OutboxBytes value, OutboxMemberKind kind)
{
	switch (kind)
	{
		case OUTBOX_MEMBER_NAME:
			return is_name(value);
		case OUTBOX_MEMBER_TEXT:
			return value.data[0] == '"';
		case OUTBOX_MEMBER_ARRAY:
			return value.data[0] == '[';
		case OUTBOX_MEMBER_OBJECT:
			return value.data[0] == '{';
		case OUTBOX_MEMBER_FLAG:
			return is_flag(value);
		case OUTBOX_MEMBER_COUNT:
			return is_count(value);
		case OUTBOX_MEMBER_TTL:
			return is_count(value) || (value.len == 2 && memcmp(value.data, "-1", 2) == 0);
		case OUTBOX_MEMBER_FLAG_OR_COUNT:
			return is_flag(value) || is_count(value);
		case OUTBOX_MEMBER_SECONDS:
			return is_seconds(value);
		case OUTBOX_MEMBER_TIME:
			return is_time(value);
		case OUTBOX_MEMBER_NAMES:
			return array_of(value, is_name) >= 0;
		case OUTBOX_MEMBER_COUNTS:
			return array_of(value, is_count) > 0;
	}
	pg_unreachable();
}

static bool
same_name(OutboxBytes name, const char *other)
{
	return name.len == strlen(other) && memcmp(name.data, other, name.len) == 0;
}

static int
find_member(const OutboxDescription *description, OutboxBytes name)
{
	for (int i = 0; i < description->nmembers; i++)
		if (same_name(name, description->members[i].name))
			return i;
	return -1;
}

/*
 * May there be a member with this name that the description does not have?  Its
 * name may not be another spelling of one that it has.
 */
static bool
may_have(const OutboxDescription *description, OutboxBytes name)
{
	if (description->reserved == NULL || name.len == 0 ||
		memchr(name.data, '\\', name.len) != NULL)
		return false;
	for (const char *const *other = description->reserved; *other != NULL; other++)
		if (same_name(name, *other))
			return false;
	return true;
}

static const char *read_members(const OutboxDescription *description, OutboxJsonScan *scan,
								const char *payload, int depth, OutboxBytes *values);

static const char *
check_member(const OutboxMember *member, OutboxBytes value, const char *payload, int depth)
{
	if (!is_of_kind(value, member->kind))
		return psprintf("Member \"%s\" must be %s.", member->name, kind_names[member->kind]);
	if (member->nested != NULL)
	{
		OutboxJsonScan scan = {value.data, value.data + value.len, NULL};
		OutboxBytes ignored[OUTBOX_MAX_MEMBERS];

		return read_members(member->nested, &scan, payload, depth + 1, ignored);
	}
	return NULL;
}

/*
 * What is wrong where the scan has stopped.
 */
static const char *
scan_fault(const OutboxJsonScan *scan, const char *payload)
{
	return psprintf("%s That begins at byte %d.",
					scan->fault != NULL ? scan->fault : "It is not valid JSON.",
					(int) (scan->at - payload) + 1);
}

static const char *
read_members(const OutboxDescription *description, OutboxJsonScan *scan,
			 const char *payload, int depth, OutboxBytes *values)
{
	bool		seen[OUTBOX_MAX_MEMBERS] = {false};
	bool		first = true;

	memset(values, 0, OUTBOX_MAX_MEMBERS * sizeof(OutboxBytes));
	if (!outbox_scan_open(scan, '{'))
		return "It is not an object.";
	while (outbox_scan_next(scan, '}', &first))
	{
		OutboxBytes name;
		OutboxBytes value;
		const char *fault;
		int			n;

		if (!outbox_scan_name(scan, &name) || !outbox_scan_value(scan, depth + 1, &value))
			break;
		n = find_member(description, name);
		if (n < 0 && !may_have(description, name))
			return psprintf("The member at byte %d is not known.",
							(int) (name.data - payload));
		if (n < 0)
			continue;
		if (seen[n])
			return psprintf("Member \"%s\" is there twice.", description->members[n].name);
		seen[n] = true;
		if (value.data[0] == 'n' && !description->members[n].needed)
			continue;
		fault = check_member(&description->members[n], value, payload, depth);
		if (fault != NULL)
			return fault;
		values[n] = value;
	}
	if (scan->fault != NULL)
		return scan_fault(scan, payload);
	for (int i = 0; i < description->nmembers; i++)
		if (description->members[i].needed && !seen[i])
			return psprintf("Member \"%s\" is missing.", description->members[i].name);
	return NULL;
}

const char *
outbox_read_description(const OutboxDescription *description, OutboxBytes payload,
						OutboxBytes *values)
{
	OutboxJsonScan scan = {payload.data, payload.data + payload.len, NULL};
	const char *fault;

	if (!pg_verify_mbstr(PG_UTF8, payload.data, payload.len, true))
		return "It is not UTF-8.";
	fault = read_members(description, &scan, payload.data, 1, values);
	if (fault == NULL && !outbox_scan_end(&scan))
		fault = scan_fault(&scan, payload.data);
	return fault;
}
