// Copyright (c) 2026, the outbox developers
//
// Consumers in Go, in a cluster:
//
//	cluster versions
//	cluster asynq QUEUE...       a server of asynq
//	cluster queues               what asynq's inspector says: its queues
//	cluster state QUEUE ID       ... and the state of a task
//	cluster watermill TOPIC      a subscriber of Watermill
package main

import (
	"context"
	"fmt"
	"log"
	"os"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"github.com/ThreeDotsLabs/watermill"
	"github.com/ThreeDotsLabs/watermill-redisstream/pkg/redisstream"
	"github.com/hibiken/asynq"
	"github.com/redis/go-redis/v9"
)

func nodes() []string {
	return strings.Split(os.Getenv("CLUSTER"), ",")
}

func note(words ...any) {
	f, err := os.OpenFile("processed", os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	must(err)
	defer f.Close()
	_, err = fmt.Fprintln(f, words...)
	must(err)
}

func must(err error) {
	if err != nil {
		log.Fatal(err)
	}
}

func main() {
	option := asynq.RedisClusterClientOpt{Addrs: nodes()}
	switch os.Args[1] {
	case "versions":
		info, _ := debug.ReadBuildInfo()
		for _, m := range info.Deps {
			name := m.Path[strings.LastIndex(m.Path, "/")+1:]
			if name == "asynq" || name == "watermill-redisstream" {
				fmt.Printf("client %s %s (%s)\n", name, m.Version, info.GoVersion)
			}
		}
	case "asynq":
		work(option, os.Args[2:])
	case "queues":
		queues, err := asynq.NewInspector(option).Queues()
		must(err)
		slices.Sort(queues)
		fmt.Println(strings.Join(queues, " "))
	case "state":
		info, err := asynq.NewInspector(option).GetTaskInfo(os.Args[2], os.Args[3])
		must(err)
		fmt.Println(info.State)
	case "watermill":
		subscribe(os.Args[2])
	}
}

// work processes tasks one at a time, so that their order can be seen.
func work(option asynq.RedisConnOpt, queues []string) {
	priorities := map[string]int{}
	for _, q := range queues {
		priorities[q] = 1
	}
	server := asynq.NewServer(option, asynq.Config{
		Concurrency: 1, Queues: priorities, DelayedTaskCheckInterval: time.Second,
		RetryDelayFunc: func(int, error, *asynq.Task) time.Duration { return time.Second }})
	must(server.Run(asynq.HandlerFunc(func(ctx context.Context, t *asynq.Task) error {
		id, _ := asynq.GetTaskID(ctx)
		queue, _ := asynq.GetQueueName(ctx)
		tries, _ := asynq.GetRetryCount(ctx)
		note("asynq", queue, id, string(t.Payload()))
		if t.Type() == "flaky" && tries == 0 {
			return fmt.Errorf("not yet")
		}
		return nil
	})))
}

func subscribe(topic string) {
	client := redis.NewClusterClient(&redis.ClusterOptions{Addrs: nodes()})
	subscriber, err := redisstream.NewSubscriber(redisstream.SubscriberConfig{
		Client: client, ConsumerGroup: "g", DisableIndefiniteInitialBlock: true,
	}, watermill.NewStdLogger(false, false))
	must(err)
	messages, err := subscriber.Subscribe(context.Background(), topic)
	must(err)
	for m := range messages {
		note("watermill", topic, m.UUID, string(m.Payload))
		m.Ack()
	}
}
