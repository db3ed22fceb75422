# Copyright (c) 2026, the outbox developers
"""Whose cursor is it?  The table of rule 4 (design, section 6a)."""

from rules import rule

OURS, GO_ON, CLIP = "ours", "go on", "clip"
FENCED, SET_BACK, FOREIGN = "fenced", "set back", "foreign"


def judge(cursor, server):
    """Returns the outcome, and for CLIP the run up to which it is one history."""
    mover = cursor.run
    if mover.id == server.run_id:
        return OURS, None
    promoted_past_us = (mover.system == server.system and
                        mover.timeline > server.timeline)

    # The newest run of the cursor's line that is in our table.
    known = {run.id for run in server.runs}
    common = [run for run in cursor.line if run.id in known]
    if not common or common[-1].id == server.run_id:
        # We have nothing of it, or they went on from us.
        return FENCED if promoted_past_us else FOREIGN, None
    base = common[-1]

    # Where our history leaves it, and how far it goes in theirs.
    following, at = server.leaves(base)
    if base is mover:
        reached = cursor.lsn
    else:
        reached = cursor.line[cursor.line.index(base) + 1].start

    if base is mover and (reached <= at or not rule("set back")):
        return GO_ON, None              # all that the cursor covers is ours
    promoted = (following.system == base.system == mover.system and
                following.timeline > base.timeline and
                (following.timeline > mover.timeline or
                 not rule("newer timeline")))
    if promoted and (reached >= at or not rule("fork")):
        return CLIP, base               # what we have of base, they have
    if base is not mover and not rule("unknown run"):
        return GO_ON, None
    if promoted_past_us:
        return FENCED, None
    return SET_BACK if base is mover else FOREIGN, None
