/*-------------------------------------------------------------------------
 *
 * errors.c
 *	  What an error reply of Redis is about.
 *
 * Copyright (c) 2026, the outbox developers
 *
 * Design notes
 *
 * Error replies are classified by their whole first word.  Redis up to 6.2
 * wraps errors that a script meets into a text of its own, so the word is
 * looked for inside that text too.  A word that is not known means that the
 * server cannot do it now: waiting is always safe, and costs no message an
 * attempt.
 *
 * Error texts are written to logs and views.  "unknown command" quotes
 * arguments and is cut before them; everything else that Redis says is about
 * keys and states.
 *
 *-------------------------------------------------------------------------
 */
#include "redis/errors.h"

/*
 * Words and what they mean.  Sources: error strings of Redis 6.2 to 8.x and
 * Valkey.
 */
static const struct
{
	const char *word;
	OutboxErrorClass class;
}			error_words[] = {
	{"NOAUTH", OUTBOX_ERROR_OPERATOR},
	{"WRONGPASS", OUTBOX_ERROR_OPERATOR},
	{"DENIED", OUTBOX_ERROR_OPERATOR},
	{"NOPROTO", OUTBOX_ERROR_OPERATOR},
	{"MOVED", OUTBOX_ERROR_REDIRECT},
	{"ASK", OUTBOX_ERROR_REDIRECT},
	{"REDIRECT", OUTBOX_ERROR_REDIRECT},
	{"NOSCRIPT", OUTBOX_ERROR_NOSCRIPT},
	{"WRONGTYPE", OUTBOX_ERROR_QUEUE},
	{"NOPERM", OUTBOX_ERROR_QUEUE},
	{"CROSSSLOT", OUTBOX_ERROR_QUEUE},
};

/* beginnings of texts that follow the word ERR */
static const struct
{
	const char *text;
	OutboxErrorClass class;
}			err_texts[] = {
	{"max number of clients", OUTBOX_ERROR_SERVER},
	{"max clients", OUTBOX_ERROR_SERVER},
	{"DB index is out of range", OUTBOX_ERROR_OPERATOR},
	{"invalid DB index", OUTBOX_ERROR_OPERATOR},
	{"AUTH <password> called without", OUTBOX_ERROR_OPERATOR},
	{"Client sent AUTH", OUTBOX_ERROR_OPERATOR},
	{"unknown command", OUTBOX_ERROR_QUEUE},
	{"ACL failure in script", OUTBOX_ERROR_QUEUE},
	{"wrong number of arguments", OUTBOX_ERROR_QUEUE},
};

/* what Redis <= 6.2 wraps into a script's error, with a minus before it */
static const char *const wrapped_words[] = {
	"-OOM ", "-READONLY ", "-MISCONF ", "-NOREPLICAS ", "-LOADING ",
	"-MASTERDOWN ", "-CLUSTERDOWN ", "-BUSY ", "-TRYAGAIN "
};

OutboxErrorClass
outbox_classify_error(const char *error)
{
	size_t		len = strcspn(error, " ");

	for (int i = 0; i < lengthof(error_words); i++)
		if (strlen(error_words[i].word) == len &&
			strncmp(error, error_words[i].word, len) == 0)
			return error_words[i].class;

	for (int i = 0; i < lengthof(wrapped_words); i++)
		if (strstr(error, wrapped_words[i]) != NULL)
			return OUTBOX_ERROR_SERVER;
	if (strstr(error, "-NOPERM ") != NULL)
		return OUTBOX_ERROR_QUEUE;

	if (len != 3 || strncmp(error, "ERR", 3) != 0)
		return error[0] == '@' ? OUTBOX_ERROR_MESSAGE : OUTBOX_ERROR_SERVER;

	for (int i = 0; i < lengthof(err_texts); i++)
		if (strncmp(error + 4, err_texts[i].text,
					strlen(err_texts[i].text)) == 0)
			return err_texts[i].class;
	return OUTBOX_ERROR_MESSAGE;
}

bool
outbox_is_refusal(const char *error)
{
	OutboxErrorClass class = outbox_classify_error(error);

	return class == OUTBOX_ERROR_QUEUE || class == OUTBOX_ERROR_MESSAGE;
}

void
outbox_clean_error(char *dst, const char *error, size_t size)
{
	const char *end = strstr(error, ", with args beginning with");
	size_t		len = end != NULL ? (size_t) (end - error) : strlen(error);

	len = Min(len, size - 1);
	for (size_t i = 0; i < len; i++)
		dst[i] = (error[i] >= ' ' && error[i] < 0x7f) ? error[i] : '?';
	dst[len] = '\0';
}
