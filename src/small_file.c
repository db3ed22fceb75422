/*-------------------------------------------------------------------------
 *
 * small_file.c
 *	  Read a file that a setting or an option names.
 *
 * Copyright (c) 2026, the outbox developers
 *
 * Design notes
 *
 * What isn't a file may never end, or never begin, and the relay must not wait
 * for it.
 *
 *-------------------------------------------------------------------------
 */
#include "small_file.h"

#include <sys/stat.h>

#include "storage/fd.h"

const char *
outbox_read_small_file(const char *path, const char *setting, size_t max,
					   char **data, size_t *len)
{
	struct stat st;
	FILE	   *file;

	if (stat(path, &st) != 0)
		return psprintf("%s cannot be read: %s", setting, strerror(errno));
	if (!S_ISREG(st.st_mode))
		return psprintf("%s is not a file", setting);
	file = AllocateFile(path, "r");
	if (file == NULL)
		return psprintf("%s cannot be read: %s", setting, strerror(errno));
	*data = palloc(max + 2);
	*len = fread(*data, 1, max + 1, file);
	FreeFile(file);
	(*data)[*len] = '\0';
	if (*len <= max)
		return NULL;
	explicit_bzero(*data, *len);
	pfree(*data);
	return psprintf("%s is too long", setting);
}
