// Copyright (c) 2026, the outbox developers

package main

import (
	"context"
	"encoding/json"
	"log"
	"os/signal"
	"syscall"
	"time"

	"github.com/ThreeDotsLabs/watermill"
	"github.com/ThreeDotsLabs/watermill-redisstream/pkg/redisstream"
	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/redis/go-redis/v9"
)

// prizes is a subscriber as there are many: nothing in it knows of outbox.
func prizes(ctx context.Context, db *pgxpool.Pool, address string) error {
	ctx, stop := signal.NotifyContext(ctx, syscall.SIGTERM)
	defer stop()
	subscriber, err := redisstream.NewSubscriber(redisstream.SubscriberConfig{
		Client:        redis.NewClient(&redis.Options{Addr: address}),
		ConsumerGroup: "prizes",
		// an outage of Redis isn't the end
		ShouldStopOnReadErrors:        func(error) bool { return false },
		DisableIndefiniteInitialBlock: true,
	}, watermill.NopLogger{})
	if err != nil {
		return err
	}
	defer subscriber.Close()
	messages, err := subscriber.Subscribe(ctx, topic)
	if err != nil {
		return err
	}
	for m := range messages {
		if err := send(ctx, db, m); err != nil {
			log.Printf("message %s: %v", m.UUID, err)
			time.Sleep(time.Second)
			m.Nack()
			continue
		}
		m.Ack()
	}
	return nil
}

// send sends the prize if it hasn't been sent: the message's id is noted in the
// transaction in which the work is done, so that both happen or neither.
func send(ctx context.Context, db *pgxpool.Pool, m *message.Message) error {
	var event lotteryConcluded
	if err := json.Unmarshal(m.Payload, &event); err != nil {
		return err
	}
	return pgx.BeginFunc(ctx, db, func(tx pgx.Tx) error {
		noted, err := tx.Exec(ctx, `INSERT INTO prizes (message_id, lottery, name)
			VALUES ($1, $2, $3) ON CONFLICT (message_id) DO NOTHING`,
			m.UUID, event.Lottery, event.Winner)
		if err != nil {
			return err
		}
		if noted.RowsAffected() == 0 {
			log.Printf("lottery %d: %s has that prize already", event.Lottery, event.Winner)
			return nil
		}
		log.Printf("lottery %d: a prize for %s", event.Lottery, event.Winner)
		return nil
	})
}
