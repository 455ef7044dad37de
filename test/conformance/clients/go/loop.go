package main

import (
	"bufio"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"
	"sync"
)

const acksPerLine = 200

// call is one running command: where its events go, and whether it was asked to stop.
type call struct {
	ID         string            `json:"id"`
	Op         string            `json:"op"`
	Target     string            `json:"target"`
	Topic      string            `json:"topic"`
	Codec      string            `json:"codec"`
	Idempotent bool              `json:"idempotent"`
	Input      string            `json:"input"`
	Output     string            `json:"output"`
	Partition  int32             `json:"partition"`
	Partitions int32             `json:"partitions"`
	Total      int               `json:"total"`
	Count      int               `json:"count"`
	TimeoutMs  int               `json:"timeoutMs"`
	Group      string            `json:"group"`
	Configs    map[string]string `json:"configs"`
	At         json.RawMessage   `json:"at"`
	Before     int64             `json:"before"`

	stopped  chan struct{}
	mutex    sync.Mutex
	acks     [][3]int64
	failures [][2]any
}

type fields map[string]any

type operation func(*call) (fields, error)

var answers = struct {
	sync.Mutex
	*json.Encoder
}{Encoder: json.NewEncoder(os.Stdout)}

func answer(line fields) {
	answers.Lock()
	defer answers.Unlock()
	if err := answers.Encode(line); err != nil {
		panic(err)
	}
}

func (c *call) event(event string, name string, value any) {
	answer(fields{"id": c.ID, "event": event, name: value})
}

// acked reports an acknowledgement; several share a line.
func (c *call) acked(index int, partition int32, offset int64) {
	c.mutex.Lock()
	c.acks = append(c.acks, [3]int64{int64(index), int64(partition), offset})
	full := len(c.acks) >= acksPerLine
	c.mutex.Unlock()
	if full {
		c.flushAcks()
	}
}

func (c *call) flushAcks() {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	if len(c.acks) > 0 {
		c.event("acks", "acks", c.acks)
		c.acks = nil
	}
}

func (c *call) failed(index int, err error) {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	c.failures = append(c.failures, [2]any{index, err.Error()})
}

func (c *call) sent(count int) fields {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	failures := c.failures
	if failures == nil {
		failures = [][2]any{}
	}
	return fields{"sent": count, "failures": failures}
}

func (c *call) isStopped() bool {
	select {
	case <-c.stopped:
		return true
	default:
		return false
	}
}

// serve obeys commands, JSON lines on standard input, each in a goroutine of its own. The answers are JSON lines:
// any number of events and then one result or error.
func serve(operations map[string]operation) {
	calls := map[string]*call{}
	lines := bufio.NewScanner(os.Stdin)
	lines.Buffer(nil, 1<<24)
	for lines.Scan() {
		c := &call{stopped: make(chan struct{})}
		if err := json.Unmarshal(lines.Bytes(), c); err != nil {
			panic(err)
		}
		if c.Op == "stop" {
			close(calls[c.Target].stopped)
			answer(fields{"id": c.ID, "result": fields{}})
			continue
		}
		calls[c.ID] = c
		go run(operations[c.Op], c)
	}
}

func run(op operation, c *call) {
	if op == nil {
		answer(fields{"id": c.ID, "result": fields{"unsupported": true}})
		return
	}
	result, err := op(c)
	if err != nil {
		fmt.Fprintf(os.Stderr, "%s: %v\n", c.Op, err)
		answer(fields{"id": c.ID, "error": err.Error()})
		return
	}
	if result == nil {
		result = fields{}
	}
	answer(fields{"id": c.ID, "result": result})
}

// wireRecord is a line of a record file: bytes in base64, null as null.
type wireRecord struct {
	Partition int32        `json:"p"`
	Offset    int64        `json:"o"`
	Timestamp int64        `json:"t"`
	Key       *string      `json:"k"`
	Value     *string      `json:"v"`
	Headers   [][2]*string `json:"h"`
}

func bytesOf(text *string) []byte {
	if text == nil {
		return nil
	}
	octets, err := base64.StdEncoding.DecodeString(*text)
	if err != nil {
		panic(err)
	}
	if octets == nil {
		return []byte{}
	}
	return octets
}

func textOf(octets []byte) *string {
	if octets == nil {
		return nil
	}
	text := base64.StdEncoding.EncodeToString(octets)
	return &text
}
