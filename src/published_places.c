/*-------------------------------------------------------------------------
 *
 * published_places.c
 *	  Where the relay publishes the figures of its queues.
 *
 * Copyright (c) 2026, the outbox developers
 *
 * Design notes
 *
 * A database may have any number of queues, and shared memory that is made when the
 * server starts has one size.  So the places are in a segment of dynamic shared
 * memory, about 850 bytes for each queue, whose handle is in the relay's slot.  When
 * queues have come the relay makes a segment that has more, copies what there was,
 * and leaves the old one, which stays for whoever reads it.
 *
 * A segment goes with the processes that are attached to it.  If the relay dies, its
 * slot has no places any more.
 *
 *-------------------------------------------------------------------------
 */
#include "published_places.h"

/* room in the first segment */
#define FIRST_PLACES	64

/* the relay's */
static dsm_segment *mine = NULL;
static int	nmine = 0;

OutboxPublished *
outbox_published_room(OutboxSlot *slot, int n)
{
	dsm_segment *old = mine;
	int			nold = nmine;
	int			size = Max(nmine, FIRST_PLACES);

	if (mine != NULL && n <= nmine)
		return dsm_segment_address(mine);
	while (size < n)
		size *= 2;
	mine = dsm_create(mul_size(size, sizeof(OutboxPublished)), 0);
	dsm_pin_mapping(mine);
	nmine = size;
	if (old != NULL)
		memcpy(dsm_segment_address(mine), dsm_segment_address(old),
			   nold * sizeof(OutboxPublished));
	LWLockAcquire(outbox_shared->lock, LW_EXCLUSIVE);
	slot->published = dsm_segment_handle(mine);
	LWLockRelease(outbox_shared->lock);
	if (old != NULL)
		dsm_detach(old);
	return dsm_segment_address(mine);
}

const OutboxPublished *
outbox_published_attach(const OutboxSlot *slot, dsm_segment **segment)
{
	if (slot->pid == 0 || slot->npublished <= 0 ||
		slot->published == DSM_HANDLE_INVALID)
		return NULL;
	*segment = dsm_attach(slot->published);
	return *segment == NULL ? NULL : dsm_segment_address(*segment);
}
