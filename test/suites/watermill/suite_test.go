// Copyright (c) 2026, the outbox developers

// Watermill's universal suite for Pub/Subs, through outbox: its Redis stream
// subscriber takes what is published in two ways.
package suite

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ThreeDotsLabs/watermill"
	"github.com/ThreeDotsLabs/watermill-redisstream/pkg/redisstream"
	"github.com/ThreeDotsLabs/watermill-sql/v4/pkg/sql"
	"github.com/ThreeDotsLabs/watermill/components/forwarder"
	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/ThreeDotsLabs/watermill/pubsub/tests"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"
)

var features = tests.Features{
	ConsumerGroups:                      true,
	GuaranteedOrderWithSingleSubscriber: true,
	Persistent:                          true,
	NewSubscriberReceivesOldMessages:    true,
}

// One pool for all, as tests open a publisher each, and hundreds at a time.
var pool = sync.OnceValue(func() *pgxpool.Pool {
	db, err := pgxpool.New(context.Background(), "pool_max_conns=16")
	if err != nil {
		panic(err)
	}
	return db
})

// enqueuing publishes by outbox_enqueue(), what one call has in one transaction.
type enqueuing struct {
	topics sync.Map
	closed atomic.Bool
}

func (p *enqueuing) Publish(topic string, messages ...*message.Message) error {
	if p.closed.Load() {
		return errors.New("this publisher is closed")
	}
	ctx := context.Background()
	if _, known := p.topics.Load(topic); !known {
		if _, err := pool().Exec(ctx, `SELECT outbox_create_queue($1, 'watermill', if_not_exists => true)`,
			topic); err != nil {
			return err
		}
		p.topics.Store(topic, true)
	}
	return pgx.BeginFunc(ctx, pool(), func(tx pgx.Tx) error {
		for _, m := range messages {
			metadata, err := json.Marshal(m.Metadata)
			if err != nil {
				return err
			}
			payload := []byte(m.Payload)
			if payload == nil {
				payload = []byte{}
			}
			if _, err := tx.Exec(ctx, `SELECT outbox_enqueue($1, $2::bytea, headers => $3::jsonb,
				options => jsonb_build_object('message_id', $4::text))`,
				topic, payload, string(metadata), m.UUID); err != nil {
				return err
			}
		}
		return nil
	})
}

func (p *enqueuing) Close() error {
	p.closed.Store(true)
	return nil
}

// forwarded is what an application has that uses Watermill's forwarder: its publisher
// above watermill-sql's.  Topics have no queues before something is published.
func forwarded(t *testing.T) message.Publisher {
	publisher, err := sql.NewPublisher(sql.BeginnerFromPgx(pool()), sql.PublisherConfig{
		SchemaAdapter: sql.DefaultPostgreSQLSchema{},
	}, watermill.NopLogger{})
	require.NoError(t, err)
	return forwarder.NewPublisher(publisher, forwarder.PublisherConfig{ForwarderTopic: "suite"})
}

func subscriber(t *testing.T, group string) message.Subscriber {
	s, err := redisstream.NewSubscriber(redisstream.SubscriberConfig{
		Client: redis.NewClient(&redis.Options{
			Addr:        os.Getenv("REDIS_HOST") + ":" + os.Getenv("REDIS_PORT"),
			ReadTimeout: -1,
			PoolTimeout: 10 * time.Minute,
		}),
		Consumer:      watermill.NewShortUUID(),
		ConsumerGroup: group,
		BlockTime:     10 * time.Millisecond,
		ClaimInterval: 3 * time.Second,
		MaxIdleTime:   5 * time.Second,
	}, watermill.NopLogger{})
	require.NoError(t, err)
	return s
}

func run(t *testing.T, publisher func(t *testing.T) message.Publisher) {
	tests.TestPubSub(t, features,
		func(t *testing.T) (message.Publisher, message.Subscriber) {
			return publisher(t), subscriber(t, watermill.NewShortUUID())
		},
		func(t *testing.T, group string) (message.Publisher, message.Subscriber) {
			return publisher(t), subscriber(t, group)
		})
}

// The Redis stream subscriber promises no order, so the suite leaves these out: what
// outbox delivers is in order.  And it restarts what delivers, if it is told how.
func more(t *testing.T, publisher func(t *testing.T) message.Publisher) {
	for name, test := range map[string]func(*testing.T, tests.TestContext, tests.PubSubConstructor){
		"InOrder": tests.TestPublishSubscribeInOrder, "NoAck": tests.TestNoAck, "Reconnect": tests.TestReconnect,
	} {
		t.Run(name, func(t *testing.T) {
			context := tests.TestContext{TestID: tests.NewTestID(), Features: features}
			context.Features.GuaranteedOrder = true
			context.Features.RestartServiceCommand = []string{"./restart"}
			test(t, context, func(t *testing.T) (message.Publisher, message.Subscriber) {
				return publisher(t), subscriber(t, watermill.NewShortUUID())
			})
		})
	}
}

func TestEnqueued(t *testing.T) {
	publisher := func(*testing.T) message.Publisher { return &enqueuing{} }
	run(t, publisher)
	t.Run("More", func(t *testing.T) { more(t, publisher) })
}

func TestForwarded(t *testing.T) {
	ctx := context.Background()
	queries, err := sql.DefaultPostgreSQLSchema{}.SchemaInitializingQueries(
		sql.SchemaInitializingQueriesParams{Topic: "suite"})
	require.NoError(t, err)
	for _, q := range queries {
		_, err := pool().Exec(ctx, q.Query, q.Args...)
		require.NoError(t, err)
	}
	_, err = pool().Exec(ctx, `SELECT outbox_forward_watermill('watermill_suite', '{"create_queues": {}}')`)
	require.NoError(t, err)
	run(t, forwarded)
	t.Run("More", func(t *testing.T) { more(t, forwarded) })
}
