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
	src/again.o \
	src/apply.o \
	src/capture.o \
	src/capture_sql.o \
	src/careful.o \
	src/catalog.o \
	src/census.o \
	src/consumer.o \
	src/consumer_entry.o \
	src/dead_letter.o \
	src/deferred.o \
	src/due.o \
	src/enqueue.o \
	src/evacuate.o \
	src/failure.o \
	src/forward.o \
	src/guc.o \
	src/latency.o \
	src/launcher.o \
	src/link.o \
	src/options.o \
	src/outbox.o \
	src/plan.o \
	src/policy.o \
	src/queue.o \
	src/queue_drop.o \
	src/queue_settings.o \
	src/queue_status.o \
	src/reach.o \
	src/reconcile.o \
	src/recover.o \
	src/redis.o \
	src/redis_url.o \
	src/relay.o \
	src/relay_queues.o \
	src/relay_state.o \
	src/relay_wait.o \
	src/request.o \
	src/returned.o \
	src/rotate.o \
	src/row_json.o \
	src/script.o \
	src/shmem.o \
	src/staging.o \
	src/stats.o \
	src/target.o \
	src/target_asynq.o \
	src/target_json.o \
	src/target_stream.o \
	src/template.o \
	src/tick.o \
	src/totals.o \
	src/wake.o

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
PG_CPPFLAGS = $(shell $(PKG_CONFIG) --cflags-only-I hiredis 2>/dev/null)
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
$(OBJS): $(wildcard src/*.h)

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
