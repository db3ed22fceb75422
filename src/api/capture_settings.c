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

#include "fmgr.h"
#include "utils/jsonb.h"

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

static bool
is_string(const JsonbValue *v, const char *s)
{
	return v->type == jbvString && v->val.string.len == strlen(s) &&
		memcmp(v->val.string.val, s, v->val.string.len) == 0;
}

/*
 * Returns the value of a word; an error says which words there are.
 */
static int
read_word(const char *setting, const JsonbValue *v, const Word *words)
{
	StringInfoData list;

	initStringInfo(&list);
	for (const Word *word = words; word->name != NULL; word++)
	{
		if (is_string(v, word->name))
			return word->value;
		appendStringInfo(&list, "%s\"%s\"", word == words ? "" :
						 word[1].name != NULL ? ", " : " or ", word->name);
	}
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("setting \"%s\" must be %s", setting, list.data)));
	return 0;					/* keep compiler quiet */
}

static bool
read_boolean(const char *setting, const JsonbValue *v)
{
	if (v->type != jbvBool)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("setting \"%s\" must be true or false", setting)));
	return v->val.boolean;
}

static void
read_setting(OutboxCaptureSettings *settings, const JsonbValue *key, const JsonbValue *v)
{
	if (is_string(key, "old"))
		settings->old = read_word("old", v, old_words);
	else if (is_string(key, "unchanged"))
		settings->unchanged = read_boolean("unchanged", v);
	else if (is_string(key, "bigint"))
		settings->bigint_text = read_word("bigint", v, number_words);
	else if (is_string(key, "numeric"))
		settings->numeric_text = read_word("numeric", v, number_words);
	else if (is_string(key, "too_large"))
	{
		settings->too_large = read_word("too_large", v, too_large_words);
		settings->too_large_given = true;
	}
	else
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("unknown setting \"%s\"",
						pnstrdup(key->val.string.val, key->val.string.len)),
				 errhint("Settings are old, unchanged, bigint, numeric and too_large.")));
}

OutboxCaptureSettings
outbox_read_capture_settings(const struct varlena *given)
{
	OutboxCaptureSettings settings = {.unchanged = true};
	Jsonb	   *jsonb;
	JsonbIterator *it;
	JsonbValue	key;
	JsonbValue	value;

	if (given == NULL)
		return settings;
	jsonb = (Jsonb *) PG_DETOAST_DATUM(PointerGetDatum(given));
	if (!JB_ROOT_IS_OBJECT(jsonb))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("settings must be an object"),
				 errhint("For example settings => '{\"old\": \"none\"}'.")));
	it = JsonbIteratorInit(&jsonb->root);
	(void) JsonbIteratorNext(&it, &value, true);
	while (JsonbIteratorNext(&it, &key, true) == WJB_KEY)
	{
		(void) JsonbIteratorNext(&it, &value, true);
		read_setting(&settings, &key, &value);
	}
	return settings;
}
