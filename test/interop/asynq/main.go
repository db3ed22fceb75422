// Copyright (c) 2026, the outbox developers
//
// asynq's own server, client and inspector beside outbox.
//
//	asynq compare   what outbox writes is what asynq's client writes
//	asynq worker    a server; it notes in Redis what it has processed
//	asynq process   SQL enqueues, the worker works
//	asynq older     the same with the server in old/
//	asynq monitor   SQL enqueues, asynqmon on $PORT shows it
//	asynq cli       and so does asynq's command line tool, $ASYNQ_CLI
//
// Where PostgreSQL and Redis are is in the environment (test/interop/run).
package main

import (
	"context"
	"fmt"
	"os"
	"runtime/debug"
	"sort"
	"time"

	"github.com/hibiken/asynq"
	"github.com/jackc/pgx/v5"
	"github.com/redis/go-redis/v9"
)

type env struct {
	pg          *pgx.Conn
	redis       *redis.Client
	redisOption asynq.RedisClientOpt
	client      *asynq.Client
	inspector   *asynq.Inspector
	failed      bool
}

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: asynq compare|worker|process|older|monitor|cli")
		os.Exit(2)
	}
	ctx := context.Background()
	address := os.Getenv("REDIS_HOST") + ":" + os.Getenv("REDIS_PORT")
	e := &env{redisOption: asynq.RedisClientOpt{Addr: address}}
	e.redis = redis.NewClient(&redis.Options{Addr: address})
	if os.Args[1] == "worker" {
		work(e)
		return
	}

	var err error
	if e.pg, err = pgx.Connect(ctx, ""); err != nil {
		fmt.Println("not ok - connect to PostgreSQL:", err)
		os.Exit(1)
	}
	e.client = asynq.NewClient(e.redisOption)
	e.inspector = asynq.NewInspector(e.redisOption)
	switch os.Args[1] {
	case "compare":
		fmt.Printf("client asynq %s (%s)\n", version("github.com/hibiken/asynq"), goVersion())
		compare(ctx, e)
	case "process":
		process(ctx, e)
	case "older":
		older(ctx, e)
	case "monitor":
		monitor(ctx, e)
	case "cli":
		commandLine(e)
	}
	if e.failed {
		os.Exit(1)
	}
}

func version(path string) string {
	info, _ := debug.ReadBuildInfo()
	for _, m := range info.Deps {
		if m.Path == path {
			return m.Version
		}
	}
	return "?"
}

func goVersion() string {
	info, _ := debug.ReadBuildInfo()
	return info.GoVersion
}

func (e *env) ok(format string, words ...any) {
	fmt.Printf("ok - "+format+"\n", words...)
}

func (e *env) notOK(format string, words ...any) {
	e.failed = true
	fmt.Printf("not ok - "+format+"\n", words...)
}

func (e *env) is(got, wanted any, format string, words ...any) {
	if fmt.Sprint(got) == fmt.Sprint(wanted) {
		e.ok(format, words...)
		return
	}
	e.notOK(format, words...)
	fmt.Printf("#  got: %v\n# want: %v\n", got, wanted)
}

// same says which entries differ.
func (e *env) same(words string, got, wanted map[string]string) {
	names := map[string]bool{}
	for name := range got {
		names[name] = true
	}
	for name := range wanted {
		names[name] = true
	}
	var differ []string
	for name := range names {
		a, inGot := got[name]
		b, inWanted := wanted[name]
		if a != b || inGot != inWanted {
			differ = append(differ, name)
		}
	}
	if len(differ) == 0 && len(wanted) > 0 {
		e.ok("%s (%d values)", words, len(wanted))
		return
	}
	e.notOK("%s", words)
	sort.Strings(differ)
	for _, name := range differ {
		fmt.Printf("# %s\n#    got: %.600s\n#   want: %.600s\n", name,
			orNone(got, name), orNone(wanted, name))
	}
}

func orNone(m map[string]string, name string) string {
	if v, ok := m[name]; ok {
		return v
	}
	return "(none)"
}

// eventually looks until it sees, half a minute at most, and after a failure only
// some seconds, as then much else will not come either.
func (e *env) eventually(happened func() bool) bool {
	patience := 30 * time.Second
	if e.failed {
		patience = 5 * time.Second
	}
	for end := time.Now().Add(patience); time.Now().Before(end); {
		if happened() {
			return true
		}
		time.Sleep(20 * time.Millisecond)
	}
	return false
}

func (e *env) exec(ctx context.Context, statement string, words ...any) {
	if _, err := e.pg.Exec(ctx, statement, words...); err != nil {
		e.notOK("%s: %v", statement, err)
		os.Exit(1)
	}
}
