// Copyright (c) 2026, the outbox developers
//
// Watermill's own publishers and subscriber beside outbox.
//
// Where PostgreSQL and Redis are is in the environment (test/interop/run).
package main

import (
	"context"
	"fmt"
	"os"
	"runtime/debug"
	"time"

	"github.com/ThreeDotsLabs/watermill"
	"github.com/ThreeDotsLabs/watermill-redisstream/pkg/redisstream"
	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/jackc/pgx/v5"
	"github.com/redis/go-redis/v9"
)

type env struct {
	pg     *pgx.Conn
	redis  *redis.Client
	failed bool
}

func main() {
	ctx := context.Background()
	e := &env{redis: newRedis()}
	var err error
	e.pg, err = pgx.Connect(ctx, "")
	e.must(err, "connect to PostgreSQL")
	info, _ := debug.ReadBuildInfo()
	for _, name := range []string{"watermill", "watermill-redisstream", "watermill-sql/v4"} {
		for _, m := range info.Deps {
			if m.Path == "github.com/ThreeDotsLabs/"+name {
				fmt.Printf("client %s %s (%s)\n", name, m.Version, info.GoVersion)
			}
		}
	}
	direct(ctx, e)
	forwarded(ctx, e)
	if e.failed {
		os.Exit(1)
	}
}

func newRedis() *redis.Client {
	return redis.NewClient(&redis.Options{
		Addr: os.Getenv("REDIS_HOST") + ":" + os.Getenv("REDIS_PORT")})
}

func (e *env) is(got, wanted any, format string, words ...any) {
	if fmt.Sprintf("%q", got) == fmt.Sprintf("%q", wanted) {
		fmt.Printf("ok - "+format+"\n", words...)
		return
	}
	e.failed = true
	fmt.Printf("not ok - "+format+"\n", words...)
	fmt.Printf("#  got: %.600q\n# want: %.600q\n", got, wanted)
}

// must ends the test: nothing after it would make sense.
func (e *env) must(err error, format string, words ...any) {
	if err != nil {
		fmt.Printf("not ok - "+format+": %v\n", append(words, err)...)
		os.Exit(1)
	}
}

func (e *env) exec(ctx context.Context, statement string, words ...any) {
	_, err := e.pg.Exec(ctx, statement, words...)
	e.must(err, "%s", statement)
}

// subscribe joins a consumer group, with the default unmarshaller.  A subscriber
// that is closed closes its client.
func (e *env) subscribe(ctx context.Context, topic, group string) (<-chan *message.Message,
	*redisstream.Subscriber) {
	subscriber, err := redisstream.NewSubscriber(redisstream.SubscriberConfig{
		Client: newRedis(), ConsumerGroup: group, DisableIndefiniteInitialBlock: true,
	}, watermill.NopLogger{})
	e.must(err, "a subscriber")
	messages, err := subscriber.Subscribe(ctx, topic)
	e.must(err, "subscribe to %s", topic)
	return messages, subscriber
}

// next returns the next message, acknowledged; or nil, when none comes.
func (e *env) next(messages <-chan *message.Message) *message.Message {
	select {
	case m, open := <-messages:
		if !open {
			e.is("closed", "open", "the subscription")
			return nil
		}
		m.Ack()
		return m
	case <-time.After(30 * time.Second):
		e.is("nothing", "a message", "within 30 s")
		return nil
	}
}

// acknowledged waits until nothing of the group's is pending.
func (e *env) acknowledged(ctx context.Context, topic, group string) {
	var pending int64
	for end := time.Now().Add(30 * time.Second); time.Now().Before(end); {
		pending = e.redis.XPending(ctx, topic, group).Val().Count
		if pending == 0 {
			break
		}
		time.Sleep(20 * time.Millisecond)
	}
	e.is(pending, int64(0), "the group has acknowledged all of %s", topic)
}
