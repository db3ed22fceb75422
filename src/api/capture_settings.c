/*-------------------------------------------------------------------------
 *
 * capture_settings.c
 *	  What a capture's messages have in them.
 *
 * Copyright (c) 2026, the outbox developers
 *
 * Design notes
 *
 * A row that is too large for a message does not fail the statement that writes
 * it, unless the capture was told so: the application comes first, and a consumer
 * is told what is missing.
 *
 *-------------------------------------------------------------------------
 */
#include "api/capture_settings.h"

#include "api/given_settings.h"

typedef struct Word
{
	const char *name;
	int			value;
} Word;

static const Word old_words[] = {
	{"all", OUTBOX_OLD_ALL}, {"changed", OUTBOX_OLD_CHANGED}, {"none", OUTBOX_OLD_NONE}, {NULL}
};
static const Word too_large_words[] = {
	{"omit", OUTBOX_TOO_LARGE_OMIT}, {"key", OUTBOX_TOO_LARGE_KEY},
	{"fail", OUTBOX_TOO_LARGE_FAIL}, {NULL}
};
static const Word number_words[] = {{"number", false}, {"text", true}, {NULL}};

/*
 * Returns the value of a word; an error says which words there are.
 */
static int
read_word(const char *setting, const JsonbValue *v, const Word *words)
{
	const char *given = v->type == jbvString ? outbox_jsonb_string(v) : "";
	StringInfoData list;

	initStringInfo(&list);
	for (const Word *word = words; word->name != NULL; word++)
	{
		if (strcmp(given, word->name) == 0)
			return word->value;
		appendStringInfo(&list, "%s\"%s\"", word == words ? "" :
						 word[1].name != NULL ? ", " : " or ", word->name);
	}
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("setting \"%s\" must be %s", setting, list.data)));
	return 0;					/* keep compiler quiet */
}

static void
read_setting(OutboxCaptureSettings *settings, const char *name, const JsonbValue *v)
{
	if (strcmp(name, "old") == 0)
		settings->old = read_word(name, v, old_words);
	else if (strcmp(name, "unchanged") == 0)
		settings->unchanged = outbox_boolean_setting(name, v);
	else if (strcmp(name, "bigint") == 0)
		settings->bigint_text = read_word(name, v, number_words);
	else if (strcmp(name, "numeric") == 0)
		settings->numeric_text = read_word(name, v, number_words);
	else if (strcmp(name, "too_large") == 0)
	{
		settings->too_large = read_word(name, v, too_large_words);
		settings->too_large_given = true;
	}
	else
		outbox_unknown_setting(name, "Settings are old, unchanged, bigint, numeric and too_large.");
}

OutboxCaptureSettings
outbox_read_capture_settings(const struct varlena *given)
{
	OutboxCaptureSettings settings = {.unchanged = true};
	JsonbIterator *it = outbox_begin_settings(given, "{\"old\": \"none\"}");
	char	   *name;
	JsonbValue	value;

	while (outbox_next_setting(&it, &name, &value))
		read_setting(&settings, name, &value);
	return settings;
}
