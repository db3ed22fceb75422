# outbox: a plain PGXS makefile.
#
#   make && sudo make install    build and install into the PostgreSQL of pg_config
#   make installcheck            the PGXS convention: regression, isolation and
#                                TAP tests against installed files
#   make demo                    the story, on a throwaway PostgreSQL and Redis
#   make test                    every test tier
#   make interop                 unmodified asynq, Watermill, Celery and others at work
#   make bench                   the ratios in the README

EXTENSION = outbox
MODULE_big = outbox
DATA = $(wildcard sql/outbox--*.sql)
PGFILEDESC = "outbox - transactional outbox for Redis"

OBJS = \
	src/catalog.o \
	src/convert.o \
	src/guc.o \
	src/launcher.o \
	src/outbox.o \
	src/redis_url.o \
	src/shmem.o \
	src/wake.o \
	src/redis/connection.o \
	src/redis/errors.o \
	src/redis/reply.o \
	src/redis/resp.o \
	src/store/deferred.o \
	src/store/position.o \
	src/store/query.o \
	src/store/staging.o \
	src/queue/policy.o \
	src/queue/queue.o \
	src/targets/asynq.o \
	src/targets/commands.o \
	src/targets/json.o \
	src/targets/message_args.o \
	src/targets/options.o \
	src/targets/stream.o \
	src/targets/target.o \
	src/api/capture.o \
	src/api/capture_sql.o \
	src/api/dead_letters.o \
	src/api/enqueue.o \
	src/api/forward.o \
	src/api/queue_drop.o \
	src/api/queue_settings.o \
	src/api/queue_status.o \
	src/api/restore.o \
	src/api/row_json.o \
	src/api/status.o \
	src/relay/base/hold.o \
	src/relay/base/latency.o \
	src/relay/base/link.o \
	src/relay/base/queues.o \
	src/relay/base/shown.o \
	src/relay/base/step.o \
	src/relay/base/wanted.o \
	src/relay/deliver/batch.o \
	src/relay/deliver/batch_buffer.o \
	src/relay/deliver/cursor.o \
	src/relay/deliver/deliver.o \
	src/relay/deliver/failure.o \
	src/relay/deliver/held.o \
	src/relay/deliver/loss.o \
	src/relay/deliver/plan.o \
	src/relay/deliver/queue_state.o \
	src/relay/deliver/reconcile.o \
	src/relay/deliver/recover.o \
	src/relay/deliver/retry.o \
	src/relay/deliver/script.o \
	src/relay/deliver/sent.o \
	src/relay/deliver/skip.o \
	src/relay/deliver/skip_batch.o \
	src/relay/deliver/tick.o \
	src/relay/consumers/entry.o \
	src/relay/consumers/returned.o \
	src/relay/consumers/streams.o \
	src/relay/upkeep/backlog.o \
	src/relay/upkeep/delayed.o \
	src/relay/upkeep/evacuate.o \
	src/relay/upkeep/purge.o \
	src/relay/upkeep/registers.o \
	src/relay/upkeep/resend.o \
	src/relay/upkeep/rotate.o \
	src/relay/upkeep/totals.o \
	src/relay/answers.o \
	src/relay/attach.o \
	src/relay/connect.o \
	src/relay/refresh.o \
	src/relay/relay.o \
	src/relay/wait.o

REGRESS = surface policies options jobs consumer_retry deferred dead_letters \
	capture forward_watermill errors privileges drop
REGRESS_OPTS = --inputdir=. --load-extension=outbox
ISOLATION = late_committer interleaved savepoints queues dead_letters
ISOLATION_OPTS = --inputdir=test/isolation --outputdir=output_iso \
	--load-extension=outbox
TAP_TESTS ?= 1
PROVE_TESTS = test/t/*.pl
EXTRA_CLEAN = tmp_check output_iso results

PG_CONFIG ?= pg_config
PKG_CONFIG ?= pkg-config
PG_CPPFLAGS = -I$(srcdir)/src $(shell $(PKG_CONFIG) --cflags-only-I hiredis 2>/dev/null)
SHLIB_LINK = $(shell $(PKG_CONFIG) --libs hiredis 2>/dev/null)

PGXS := $(shell $(PG_CONFIG) --pgxs 2>/dev/null)

.DEFAULT_GOAL := all
ifneq ($(PGXS),)
include $(PGXS)
else
# "make demo" and "make test" install PostgreSQL's packages first
all install installcheck:
	@echo "$(PG_CONFIG) is missing: install the PostgreSQL server headers" >&2
	@exit 1
endif

PROVE_FLAGS += -I test/perl

# PGXS tracks no header dependencies; every file includes outbox.h or its like.
$(OBJS): $(foreach dir,$(sort $(dir $(OBJS))),$(wildcard $(dir)*.h))

.PHONY: demo test interop bench
demo:
	@test/demo/run
test:
	@test/packages
	@test/run
interop:
	@test/packages interop
	@test/interop/run
bench:
	@test/packages
	@test/bench/run
