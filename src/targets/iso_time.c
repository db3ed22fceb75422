/*-------------------------------------------------------------------------
 *
 * iso_time.c
 *	  Times as ISO 8601 writes them, whatever the session's settings are.
 *
 * Copyright (c) 2026, the outbox developers
 *
 * Design notes
 *
 * What PostgreSQL's own input function makes of a text depends on TimeZone and
 * DateStyle, which differ between the session that enqueues and the relay.  So a
 * time in a payload is read only if it can mean one thing:
 *
 *		YYYY-MM-DD, T or a space, HH:MM, :SS and a fraction if there are any,
 *		then Z or +HH or +HH:MM or +HHMM, or the same with a minus
 *
 *-------------------------------------------------------------------------
 */
#include "targets/iso_time.h"

#include "datatype/timestamp.h"
#include "pgtime.h"
#include "utils/datetime.h"

/* what is left of a text */
typedef struct Rest
{
	const char *at;
	const char *end;
} Rest;

static bool
take_number(Rest *rest, int ndigits, int min, int max, int *n)
{
	*n = 0;
	if (rest->end - rest->at < ndigits)
		return false;
	for (; ndigits > 0; ndigits--, rest->at++)
	{
		if (*rest->at < '0' || *rest->at > '9')
			return false;
		*n = *n * 10 + (*rest->at - '0');
	}
	return *n >= min && *n <= max;
}

static bool
take_one_of(Rest *rest, const char *characters)
{
	if (rest->at == rest->end || *rest->at == '\0' ||
		strchr(characters, *rest->at) == NULL)
		return false;
	rest->at++;
	return true;
}

static bool
take_date(Rest *rest, int *days)
{
	int			year;
	int			month;
	int			day;

	if (!take_number(rest, 4, 1970, 9998, &year) || !take_one_of(rest, "-") ||
		!take_number(rest, 2, 1, 12, &month) || !take_one_of(rest, "-") ||
		!take_number(rest, 2, 1, day_tab[isleap(year)][month - 1], &day))
		return false;
	*days = date2j(year, month, day) - UNIX_EPOCH_JDATE;
	return true;
}

/*
 * Digits of a second's fraction beyond the sixth are cut off.
 */
static bool
take_fraction(Rest *rest, int *us)
{
	int			unit = 100000;

	*us = 0;
	if (!take_one_of(rest, "."))
		return true;
	if (rest->at == rest->end || *rest->at < '0' || *rest->at > '9')
		return false;
	for (; rest->at < rest->end && *rest->at >= '0' && *rest->at <= '9'; unit /= 10)
		*us += unit * (*rest->at++ - '0');
	return true;
}

static bool
take_clock(Rest *rest, int64 *us)
{
	int			hour;
	int			minute;
	int			second = 0;
	int			fraction = 0;

	if (!take_number(rest, 2, 0, 23, &hour) || !take_one_of(rest, ":") ||
		!take_number(rest, 2, 0, 59, &minute))
		return false;
	if (take_one_of(rest, ":") &&
		(!take_number(rest, 2, 0, 59, &second) || !take_fraction(rest, &fraction)))
		return false;
	*us = ((hour * MINS_PER_HOUR + minute) * (int64) SECS_PER_MINUTE + second) *
		USECS_PER_SEC + fraction;
	return true;
}

static bool
take_zone(Rest *rest, int64 *us)
{
	bool		minus = rest->at < rest->end && *rest->at == '-';
	int			hour;
	int			minute = 0;

	*us = 0;
	if (take_one_of(rest, "Zz"))
		return true;
	if (!take_one_of(rest, "+-") || !take_number(rest, 2, 0, 15, &hour))
		return false;
	if ((take_one_of(rest, ":") || rest->at < rest->end) &&
		!take_number(rest, 2, 0, 59, &minute))
		return false;
	*us = (hour * MINS_PER_HOUR + minute) * USECS_PER_MINUTE * (minus ? -1 : 1);
	return true;
}

bool
outbox_iso_time(OutboxBytes text, int64 *us)
{
	Rest		rest = {text.data, text.data + text.len};
	int			days;
	int64		clock;
	int64		zone;

	if (!take_date(&rest, &days) || !take_one_of(&rest, "Tt ") ||
		!take_clock(&rest, &clock) || !take_zone(&rest, &zone) || rest.at < rest.end)
		return false;
	*us = days * USECS_PER_DAY + clock - zone;
	return *us >= 0;
}

void
outbox_append_iso_time(StringInfo out, int64 us)
{
	pg_time_t	seconds = us / USECS_PER_SEC;
	char		buf[64];

	pg_strftime(buf, sizeof(buf), "%Y-%m-%dT%H:%M:%S", pg_gmtime(&seconds));
	appendStringInfo(out, "%s.%06d", buf, (int) (us % USECS_PER_SEC));
}
