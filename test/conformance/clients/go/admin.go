package main

import (
	"context"
	"encoding/json"
	"strconv"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

const adminPatience = 30 * time.Second

// withAdmin runs one admin operation on a client of its own.
func withAdmin(work func(context.Context, *kadm.Client) (fields, error)) (fields, error) {
	patience, cancel := context.WithTimeout(context.Background(), adminPatience)
	defer cancel()
	client, err := kgo.NewClient(kgo.SeedBrokers(bootstrap))
	if err != nil {
		return nil, err
	}
	defer client.Close()
	return work(patience, kadm.NewClient(client))
}

func createTopic(c *call) (fields, error) {
	return withAdmin(func(patience context.Context, admin *kadm.Client) (fields, error) {
		configs := map[string]*string{}
		for name, value := range c.Configs {
			configs[name] = &value
		}
		_, err := admin.CreateTopic(patience, c.Partitions, 1, configs, c.Topic)
		return nil, err
	})
}

func createPartitions(c *call) (fields, error) {
	return withAdmin(func(patience context.Context, admin *kadm.Client) (fields, error) {
		answers, err := admin.UpdatePartitions(patience, c.Total, c.Topic)
		if err != nil {
			return nil, err
		}
		return nil, answers.Error()
	})
}

func describeTopic(c *call) (fields, error) {
	return withAdmin(func(patience context.Context, admin *kadm.Client) (fields, error) {
		topics, err := admin.ListTopics(patience, c.Topic)
		if err != nil {
			return nil, err
		}
		return fields{"partitions": len(topics[c.Topic].Partitions)}, topics[c.Topic].Err
	})
}

func listTopics(*call) (fields, error) {
	return withAdmin(func(patience context.Context, admin *kadm.Client) (fields, error) {
		topics, err := admin.ListTopics(patience)
		return fields{"topics": topics.Names()}, err
	})
}

func describeConfigs(c *call) (fields, error) {
	return withAdmin(func(patience context.Context, admin *kadm.Client) (fields, error) {
		found, err := admin.DescribeTopicConfigs(patience, c.Topic)
		if err != nil {
			return nil, err
		}
		resource, err := found.On(c.Topic, nil)
		if err != nil {
			return nil, err
		}
		configs := map[string]*string{}
		for _, config := range resource.Configs {
			configs[config.Key] = config.Value
		}
		return fields{"configs": configs}, resource.Err
	})
}

func deleteTopic(c *call) (fields, error) {
	return withAdmin(func(patience context.Context, admin *kadm.Client) (fields, error) {
		_, err := admin.DeleteTopic(patience, c.Topic)
		return nil, err
	})
}

func deleteRecords(c *call) (fields, error) {
	return withAdmin(func(patience context.Context, admin *kadm.Client) (fields, error) {
		before := kadm.Offsets{}
		before.AddOffset(c.Topic, c.Partition, c.Before, -1)
		deleted, err := admin.DeleteRecords(patience, before)
		if err != nil {
			return nil, err
		}
		return nil, deleted.Error()
	})
}

func listOffsets(c *call) (fields, error) {
	return withAdmin(func(patience context.Context, admin *kadm.Client) (fields, error) {
		listed, err := listOffsetsAt(patience, admin, c)
		if err != nil {
			return nil, err
		}
		found, _ := listed.Lookup(c.Topic, c.Partition)
		return fields{"offset": found.Offset, "timestampMs": found.Timestamp}, found.Err
	})
}

func listOffsetsAt(patience context.Context, admin *kadm.Client, c *call) (kadm.ListedOffsets, error) {
	var name string
	if json.Unmarshal(c.At, &name) == nil {
		switch name {
		case "earliest":
			return admin.ListStartOffsets(patience, c.Topic)
		case "latest":
			return admin.ListEndOffsets(patience, c.Topic)
		default:
			return admin.ListMaxTimestampOffsets(patience, c.Topic)
		}
	}
	atMs, err := strconv.ParseInt(string(c.At), 10, 64)
	if err != nil {
		return nil, err
	}
	return admin.ListOffsetsAfterMilli(patience, atMs, c.Topic)
}

func committed(c *call) (fields, error) {
	return withAdmin(func(patience context.Context, admin *kadm.Client) (fields, error) {
		found, err := admin.FetchOffsets(patience, c.Group)
		offsets := make([]int64, c.Partitions)
		for index := range offsets {
			offsets[index] = -1
			if offset, ok := found.Lookup(c.Topic, int32(index)); ok {
				offsets[index] = offset.At
			}
		}
		return fields{"offsets": offsets}, err
	})
}

func listGroups(*call) (fields, error) {
	return withAdmin(func(patience context.Context, admin *kadm.Client) (fields, error) {
		groups, err := admin.ListGroups(patience)
		return fields{"groups": groups.Groups()}, err
	})
}

func describeGroup(c *call) (fields, error) {
	return withAdmin(func(patience context.Context, admin *kadm.Client) (fields, error) {
		found, err := admin.DescribeGroups(patience, c.Group)
		if err != nil {
			return nil, err
		}
		group := found[c.Group]
		return fields{"state": group.State, "members": len(group.Members)}, group.Err
	})
}

func deleteGroup(c *call) (fields, error) {
	return withAdmin(func(patience context.Context, admin *kadm.Client) (fields, error) {
		_, err := admin.DeleteGroup(patience, c.Group)
		return nil, err
	})
}
