# Copyright (c) 2026, the outbox developers
#
# shellcheck shell=bash
if wanted dbd-pg && fetched need perl; then program dbd-pg perl perl/dbd-pg.pl; fi
