// Command agent drives franz-go. Usage: agent BOOTSTRAP; its commands are described beside the run that gives them.
// It carries records and decides nothing about right and wrong.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

const (
	streamChunk  = 50
	streamPause  = 25 * time.Millisecond
	pollPatience = 100 * time.Millisecond
)

var codecs = map[string]kgo.CompressionCodec{
	"none":   kgo.NoCompression(),
	"gzip":   kgo.GzipCompression(),
	"snappy": kgo.SnappyCompression(),
	"lz4":    kgo.Lz4Compression(),
	"zstd":   kgo.ZstdCompression(),
}

var bootstrap = os.Args[1]

func main() {
	serve(map[string]operation{
		"produce":          produce,
		"stream":           stream,
		"consume":          consume,
		"join":             join,
		"createTopic":      createTopic,
		"createPartitions": createPartitions,
		"describeTopic":    describeTopic,
		"listTopics":       listTopics,
		"describeConfigs":  describeConfigs,
		"deleteTopic":      deleteTopic,
		"deleteRecords":    deleteRecords,
		"listOffsets":      listOffsets,
		"committed":        committed,
		"listGroups":       listGroups,
		"describeGroup":    describeGroup,
		"deleteGroup":      deleteGroup,
	})
}

func producer(c *call) (*kgo.Client, error) {
	options := []kgo.Opt{
		kgo.SeedBrokers(bootstrap),
		kgo.DefaultProduceTopic(c.Topic),
		kgo.RecordPartitioner(kgo.ManualPartitioner()),
		kgo.RequiredAcks(kgo.AllISRAcks()),
		kgo.ProducerLinger(5 * time.Millisecond),
		kgo.MaxBufferedRecords(1_000_000),
	}
	if c.Codec != "" {
		options = append(options, kgo.ProducerBatchCompression(codecs[c.Codec]))
	}
	if !c.Idempotent {
		options = append(options, kgo.DisableIdempotentWrite())
	}
	return kgo.NewClient(options...)
}

func send(client *kgo.Client, c *call, index int, record *kgo.Record) {
	client.Produce(context.Background(), record, func(sent *kgo.Record, err error) {
		if err != nil {
			c.failed(index, err)
		} else {
			c.acked(index, sent.Partition, sent.Offset)
		}
	})
}

func produce(c *call) (fields, error) {
	client, err := producer(c)
	if err != nil {
		return nil, err
	}
	defer client.Close()
	file, err := os.Open(c.Input)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	lines := bufio.NewScanner(file)
	lines.Buffer(nil, 1<<24)
	index := 0
	for ; lines.Scan(); index++ {
		var wire wireRecord
		if err := json.Unmarshal(lines.Bytes(), &wire); err != nil {
			return nil, err
		}
		record := &kgo.Record{
			Partition: wire.Partition,
			Timestamp: time.UnixMilli(wire.Timestamp),
			Key:       bytesOf(wire.Key),
			Value:     bytesOf(wire.Value),
		}
		for _, header := range wire.Headers {
			record.Headers = append(record.Headers, kgo.RecordHeader{Key: *header[0], Value: bytesOf(header[1])})
		}
		send(client, c, index, record)
	}
	err = client.Flush(context.Background())
	c.flushAcks()
	return c.sent(index), err
}

func stream(c *call) (fields, error) {
	client, err := producer(c)
	if err != nil {
		return nil, err
	}
	defer client.Close()
	index := 0
	for !c.isStopped() {
		for range streamChunk {
			value := []byte(strconv.Itoa(index))
			send(client, c, index, &kgo.Record{Partition: int32(index) % c.Partitions, Value: value})
			index++
		}
		c.flushAcks()
		time.Sleep(streamPause)
	}
	err = client.Flush(context.Background())
	c.flushAcks()
	return c.sent(index), err
}

func consume(c *call) (fields, error) {
	offsets := map[int32]kgo.Offset{}
	for index := range c.Partitions {
		offsets[index] = kgo.NewOffset().AtStart()
	}
	client, err := kgo.NewClient(
		kgo.SeedBrokers(bootstrap),
		kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{c.Topic: offsets}),
	)
	if err != nil {
		return nil, err
	}
	defer client.Close()
	output, err := newRecordFile(c.Output)
	if err != nil {
		return nil, err
	}
	deadline := time.Now().Add(time.Duration(c.TimeoutMs) * time.Millisecond)
	for output.count < c.Count && time.Now().Before(deadline) {
		if err := output.poll(client); err != nil {
			return nil, err
		}
	}
	return fields{"count": output.count}, output.close()
}

// join is a member of a group until it is stopped. Each poll's records are committed before the next; partitions
// are only taken away between the two.
func join(c *call) (fields, error) {
	var mutex sync.Mutex
	owned := []int32{}
	report := func(gained []int32, lost []int32) {
		mutex.Lock()
		defer mutex.Unlock()
		owned = slices.DeleteFunc(owned, func(index int32) bool { return slices.Contains(lost, index) })
		owned = append(owned, gained...)
		slices.Sort(owned)
		if lost == nil {
			c.event("assignment", "partitions", owned)
		}
	}
	lose := func(_ context.Context, _ *kgo.Client, lost map[string][]int32) {
		report(nil, append([]int32{}, lost[c.Topic]...))
	}
	client, err := kgo.NewClient(
		kgo.SeedBrokers(bootstrap),
		kgo.ConsumerGroup(c.Group),
		kgo.ConsumeTopics(c.Topic),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.Balancers(kgo.RangeBalancer()),
		kgo.HeartbeatInterval(500*time.Millisecond),
		kgo.DisableAutoCommit(),
		kgo.BlockRebalanceOnPoll(),
		kgo.OnPartitionsAssigned(func(_ context.Context, _ *kgo.Client, gained map[string][]int32) { report(gained[c.Topic], nil) }),
		kgo.OnPartitionsRevoked(lose),
		kgo.OnPartitionsLost(lose),
	)
	if err != nil {
		return nil, err
	}
	defer client.CloseAllowingRebalance()
	output, err := newRecordFile(c.Output)
	if err != nil {
		return nil, err
	}
	for committed := true; !c.isStopped() || !committed; {
		before := output.count
		if err := output.poll(client); err != nil {
			return nil, err
		}
		if output.count > before {
			if err := output.flush(); err != nil {
				return nil, err
			}
			committed = false
			c.event("received", "count", output.count)
		}
		committed = committed || commit(client)
		client.AllowRebalance()
	}
	return fields{"count": output.count}, output.close()
}

// commit tells whether it worked. While the broker is away, and in a rebalance, a later try takes its place.
func commit(client *kgo.Client) bool {
	err := client.CommitUncommittedOffsets(context.Background())
	if err != nil {
		fmt.Fprintf(os.Stderr, "commit: %v\n", err)
	}
	return err == nil
}

// recordFile is a file of received records.
type recordFile struct {
	count  int
	file   *os.File
	buffer *bufio.Writer
}

func newRecordFile(path string) (*recordFile, error) {
	file, err := os.Create(path)
	return &recordFile{file: file, buffer: bufio.NewWriter(file)}, err
}

func (f *recordFile) poll(client *kgo.Client) error {
	patience, cancel := context.WithTimeout(context.Background(), pollPatience)
	defer cancel()
	fetches := client.PollFetches(patience)
	fetches.EachError(func(topic string, partition int32, err error) {
		if patience.Err() == nil {
			fmt.Fprintf(os.Stderr, "%s/%d: %v\n", topic, partition, err)
		}
	})
	for iterator := fetches.RecordIter(); !iterator.Done(); {
		if err := f.write(iterator.Next()); err != nil {
			return err
		}
	}
	return nil
}

func (f *recordFile) write(record *kgo.Record) error {
	wire := wireRecord{
		Partition: record.Partition,
		Offset:    record.Offset,
		Timestamp: record.Timestamp.UnixMilli(),
		Key:       textOf(record.Key),
		Value:     textOf(record.Value),
		Headers:   [][2]*string{},
	}
	for _, header := range record.Headers {
		wire.Headers = append(wire.Headers, [2]*string{&header.Key, textOf(header.Value)})
	}
	line, err := json.Marshal(wire)
	if err != nil {
		return err
	}
	f.count++
	_, err = f.buffer.Write(append(line, '\n'))
	return err
}

func (f *recordFile) flush() error { return f.buffer.Flush() }

func (f *recordFile) close() error {
	if err := f.buffer.Flush(); err != nil {
		return err
	}
	return f.file.Close()
}
