# outbox: a plain PGXS makefile.
#
#   make && sudo make install    build and install into the PostgreSQL of pg_config
#   make installcheck            the PGXS convention: regression, isolation and
#                                TAP tests against installed files
#   make demo                    the story, on a throwaway PostgreSQL and Redis
#   make test                    every test tier
#   make interop                 unmodified asynq, Watermill, Celery and others at work
#   make bench                   the ratios in docs/performance.md; PART=latency: some
#   make indent                  the C code, laid out as PostgreSQL's

EXTENSION = outbox
MODULE_big = outbox
DATA = $(wildcard sql/outbox--*.sql)
PGFILEDESC = "outbox - transactional outbox for Redis"

OBJS = \
	src/catalog.o \
	src/convert.o \
	src/database_ddl.o \
	src/databases.o \
	src/extension_views.o \
	src/guc.o \
	src/launcher.o \
	src/lock.o \
	src/owner.o \
	src/outbox.o \
	src/published.o \
	src/published_places.o \
	src/redis_server.o \
	src/redis_url.o \
	src/redis_url_parts.o \
	src/server_commands.o \
	src/server_run.o \
	src/shape.o \
	src/shmem.o \
	src/slots.o \
	src/small_file.o \
	src/wake.o \
	src/redis/cluster_map.o \
	src/redis/connection.o \
	src/redis/errors.o \
	src/redis/limits.o \
	src/redis/lookup.o \
	src/redis/master.o \
	src/redis/reply.o \
	src/redis/resp.o \
	src/redis/tls.o \
	src/redis/tls_files.o \
	src/redis/transport.o \
	src/store/deferred.o \
	src/store/emptying.o \
	src/store/message_row.o \
	src/store/position.o \
	src/store/query.o \
	src/store/run.o \
	src/store/skipped_rows.o \
	src/store/staged_row.o \
	src/store/staging.o \
	src/store/staging_insert.o \
	src/queue/partition.o \
	src/queue/policy.o \
	src/queue/queue.o \
	src/queue/view.o \
	src/targets/asynq.o \
	src/targets/celery.o \
	src/targets/cluster_fault.o \
	src/targets/commands.o \
	src/targets/description.o \
	src/targets/dramatiq.o \
	src/targets/effect.o \
	src/targets/function_source.o \
	src/targets/iso_time.o \
	src/targets/jobs.o \
	src/targets/json.o \
	src/targets/json_text.o \
	src/targets/message_args.o \
	src/targets/options.o \
	src/targets/rq.o \
	src/targets/sidekiq.o \
	src/targets/stream.o \
	src/targets/target.o \
	src/targets/task_options.o \
	src/api/backfill.o \
	src/api/backfill_chunk.o \
	src/api/backfill_progress.o \
	src/api/capture.o \
	src/api/capture_columns.o \
	src/api/capture_message.o \
	src/api/capture_newest.o \
	src/api/capture_payload.o \
	src/api/capture_settings.o \
	src/api/capture_sql.o \
	src/api/cluster_checks.o \
	src/api/cursors.o \
	src/api/dead_letters.o \
	src/api/dumped.o \
	src/api/enable.o \
	src/api/enqueue.o \
	src/api/enqueue_many.o \
	src/api/forward.o \
	src/api/forward_sql.o \
	src/api/given_settings.o \
	src/api/message_id.o \
	src/api/messages.o \
	src/api/messages_view.o \
	src/api/payload.o \
	src/api/progress.o \
	src/api/queue_alter.o \
	src/api/queue_changed.o \
	src/api/queue_checks.o \
	src/api/queue_drop.o \
	src/api/queue_ids.o \
	src/api/queue_insert.o \
	src/api/queue_move.o \
	src/api/queue_policy.o \
	src/api/queue_server.o \
	src/api/queue_settings.o \
	src/api/queue_status.o \
	src/api/queue_taken.o \
	src/api/queue_view.o \
	src/api/readable.o \
	src/api/release.o \
	src/api/replicated.o \
	src/api/restore.o \
	src/api/row_json.o \
	src/api/server_ddl.o \
	src/api/server_options.o \
	src/api/server_status.o \
	src/api/settings.o \
	src/api/status.o \
	src/api/topic_queues.o \
	src/api/triggers.o \
	src/api/turns.o \
	src/relay/base/aside.o \
	src/relay/base/hold.o \
	src/relay/base/latency.o \
	src/relay/base/link.o \
	src/relay/base/link_shown.o \
	src/relay/base/log_allowance.o \
	src/relay/base/mishap.o \
	src/relay/base/queues.o \
	src/relay/base/shown.o \
	src/relay/base/standby.o \
	src/relay/base/step.o \
	src/relay/base/turn.o \
	src/relay/base/wanted.o \
	src/relay/deliver/basis.o \
	src/relay/deliver/batch.o \
	src/relay/deliver/batch_buffer.o \
	src/relay/deliver/cursor.o \
	src/relay/deliver/deliver.o \
	src/relay/deliver/failure.o \
	src/relay/deliver/held.o \
	src/relay/deliver/judge.o \
	src/relay/deliver/look.o \
	src/relay/deliver/lost_messages.o \
	src/relay/deliver/move.o \
	src/relay/deliver/plan.o \
	src/relay/deliver/plan_rows.o \
	src/relay/deliver/plan_scan.o \
	src/relay/deliver/queue_state.o \
	src/relay/deliver/read_cursor.o \
	src/relay/deliver/reconcile.o \
	src/relay/deliver/rest.o \
	src/relay/deliver/retry.o \
	src/relay/deliver/reused.o \
	src/relay/deliver/script.o \
	src/relay/deliver/sent.o \
	src/relay/deliver/skip.o \
	src/relay/deliver/skip_batch.o \
	src/relay/deliver/skip_list.o \
	src/relay/deliver/suspect.o \
	src/relay/deliver/tell.o \
	src/relay/deliver/tick.o \
	src/relay/consumers/entry.o \
	src/relay/consumers/read_position.o \
	src/relay/consumers/returned.o \
	src/relay/consumers/streams.o \
	src/relay/consumers/unread.o \
	src/relay/upkeep/backlog.o \
	src/relay/upkeep/publish.o \
	src/relay/upkeep/delayed.o \
	src/relay/upkeep/errand.o \
	src/relay/upkeep/obstacle.o \
	src/relay/upkeep/evacuate.o \
	src/relay/upkeep/kept.o \
	src/relay/upkeep/marks.o \
	src/relay/upkeep/mend.o \
	src/relay/upkeep/moved.o \
	src/relay/upkeep/purge.o \
	src/relay/upkeep/registers.o \
	src/relay/upkeep/replicas.o \
	src/relay/upkeep/replicas_shown.o \
	src/relay/upkeep/resend.o \
	src/relay/upkeep/rotate.o \
	src/relay/upkeep/totals.o \
	src/relay/answers.o \
	src/relay/attach.o \
	src/relay/chores.o \
	src/relay/cluster.o \
	src/relay/errand_link.o \
	src/relay/link_life.o \
	src/relay/make_link.o \
	src/relay/nodes.o \
	src/relay/own_link.o \
	src/relay/own_run.o \
	src/relay/refresh.o \
	src/relay/sentinel.o \
	src/relay/server_settings.o \
	src/relay/servers.o \
	src/relay/relay.o \
	src/relay/wait.o

REGRESS = surface payloads enqueue_many settings queues policies options jobs consumer_retry deferred \
	dead_letters capture capture_settings backfill forward_watermill errors privileges rights messages drop
REGRESS_OPTS = --inputdir=. --load-extension=outbox
ISOLATION = late_committer interleaved savepoints queues if_not_exists topic_queues dead_letters
ISOLATION_OPTS = --inputdir=test/isolation --outputdir=output_iso \
	--load-extension=outbox
TAP_TESTS ?= 1
PROVE_TESTS = test/t/*.pl
EXTRA_CLEAN = tmp_check output_iso results .build-flags $(SCRIPTS_H) \
	test/gate/gate.o test/gate/gate.so

PG_CONFIG ?= pg_config
PKG_CONFIG ?= pkg-config
PG_CPPFLAGS = -I$(srcdir)/src $(shell $(PKG_CONFIG) --cflags-only-I hiredis openssl 2>/dev/null)
# pkg-config is optional
SHLIB_LINK := $(or $(shell $(PKG_CONFIG) --libs hiredis 2>/dev/null),-lhiredis) \
	$(or $(shell $(PKG_CONFIG) --libs openssl 2>/dev/null),-lssl -lcrypto) -lpthread

PGXS := $(shell $(PG_CONFIG) --pgxs 2>/dev/null)

.DEFAULT_GOAL := all
ifneq ($(wildcard $(PGXS)),)
include $(PGXS)

# The flags that objects are made with: a change of them makes all objects anew.
# What a build needs is looked for at the same time.
flags := $(VERSION) $(COMPILE.c) $(LINK.shared) $(LDFLAGS) $(LDFLAGS_SL) $(SHLIB_LINK) \
	$(if $(filter yes,$(with_llvm)),$(COMPILE.c.bc))
ifneq ($(strip $(flags)),$(strip $(file <.build-flags)))
.PHONY: .build-flags
endif
or_else = or give with_llvm=no to make and make install
# $(call need,COMMAND,WHAT,HOW TO GET IT): the recipe stops unless COMMAND succeeds.
need = @$(1) >/dev/null 2>&1 || { echo "outbox: $(2) is missing: $(3)" >&2; exit 1; }
has_header = $(CC) $(CPPFLAGS) -E -include $(1) -x c /dev/null
.build-flags:
	$(call need,$(CC) -E -include stdio.h -x c /dev/null,a C compiler ($(CC)),install build-essential)
	$(call need,command -v readelf,readelf,install binutils)
	$(call need,$(call has_header,postgres.h),postgres.h,install postgresql-server-dev-$(MAJORVERSION))
	$(call need,$(call has_header,hiredis/hiredis.h),hiredis/hiredis.h,install libhiredis-dev)
	$(call need,$(call has_header,openssl/ssl.h),openssl/ssl.h,install libssl-dev)
ifeq ($(with_llvm),yes)
	$(call need,command -v $(CLANG),$(CLANG),install $(notdir $(CLANG)) $(or_else))
	$(call need,command -v $(LLVM_BINPATH)/llvm-lto,$(LLVM_BINPATH)/llvm-lto,install $(notdir $(LLVM_BINPATH:/bin=)) $(or_else))
endif
	@printf '%s\n' '$(subst ','\'',$(flags))' >$@
$(OBJS): .build-flags
$(OBJS:.o=.bc): %.bc: %.o

# A library that lacks hiredis or OpenSSL would be built all the same, as the
# server's symbols are undefined in it anyway; PostgreSQL wouldn't start with it.
.PHONY: linked
linked: $(shlib)
	@for lib in hiredis ssl crypto; do \
		readelf -d $< | grep -q "NEEDED.*\[lib$$lib\." || { rm -f $<; \
		echo "outbox: $< is not linked with lib$$lib, thus removed" >&2; exit 1; }; done
all install-lib-shared: | linked

# what TAP tests preload beside outbox, in place; never installed
ifneq ($(TAP_TESTS),)
installcheck: test/gate/gate.so
endif
test/gate/gate.so: test/gate/gate.o
	$(LINK.shared) -o $@ $<
test/gate/gate.o: .build-flags
else
# "make demo" and "make test" install PostgreSQL's packages first
major = $(shell $(PG_CONFIG) --version 2>/dev/null | sed -n 's/^PostgreSQL \([0-9]*\).*/\1/p')
all install uninstall installcheck:
	@echo "outbox: PostgreSQL's makefile for extensions ($(PG_CONFIG) --pgxs) is missing:" \
		"install postgresql-server-dev-$(or $(major),NN (NN is the server's major version))" >&2
	@exit 1
clean distclean:
	rm -rf $(OBJS) $(OBJS:.o=.bc) $(MODULE_big).so $(EXTRA_CLEAN)
endif

PROVE_FLAGS += -I test/perl

# PGXS tracks no header dependencies; every file includes outbox.h or its like.
$(OBJS): $(foreach dir,$(sort $(dir $(OBJS))),$(wildcard $(dir)*.h))

# What Redis runs, as C strings: one_message.lua goes into the place that names
# it, and lines that are comments are left out.
DELIVER = src/relay/deliver
SCRIPTS_H = $(DELIVER)/scripts.h

$(DELIVER)/script.o $(DELIVER)/script.bc: $(SCRIPTS_H)
$(SCRIPTS_H): $(DELIVER)/apply.lua $(DELIVER)/skip.lua $(DELIVER)/one_message.lua \
		$(DELIVER)/function.lua $(DELIVER)/commands.lua $(DELIVER)/mark.lua \
		$(DELIVER)/find.lua $(DELIVER)/remove.lua $(DELIVER)/move.lua
	for script in apply skip function commands mark find remove move; do \
		echo "static const char $${script}_script[] ="; \
		sed '/^-- include one_message.lua$$/r $(DELIVER)/one_message.lua' \
			$(DELIVER)/$$script.lua | \
			sed -e '/^ *--/d' -e '/^$$/d' -e 's/["\\]/\\&/g' -e 's/.*/"&\\n"/'; \
		echo ';'; \
	done >$@

.PHONY: demo test torture interop bench indent
demo:
	@test/demo/run
test:
	@test/packages
	@test/run
torture:
	@test/packages
	@test/torture/run
interop:
	@test/packages interop
	@test/interop/run
bench:
	@test/packages bench
	@test/bench/run $(PART)
indent:
	@test/style/indent
