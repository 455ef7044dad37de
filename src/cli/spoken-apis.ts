/** The Kafka APIs that subcommands speak, with the versions that name topics and that all brokers since 2.1 know. */

import { ApiKey } from "../protocol/generated/api-keys.ts";
import {
  type CreateTopicsRequestInput,
  writeCreateTopicsRequest,
} from "../protocol/generated/create-topics-request.ts";
import {
  type CreateTopicsResponse,
  readCreateTopicsResponse,
} from "../protocol/generated/create-topics-response.ts";
import {
  type DeleteTopicsRequestInput,
  writeDeleteTopicsRequest,
} from "../protocol/generated/delete-topics-request.ts";
import {
  type DeleteTopicsResponse,
  readDeleteTopicsResponse,
} from "../protocol/generated/delete-topics-response.ts";
import { type FetchRequestInput, writeFetchRequest } from "../protocol/generated/fetch-request.ts";
import { type FetchResponse, readFetchResponse } from "../protocol/generated/fetch-response.ts";
import {
  type ListOffsetsRequestInput,
  writeListOffsetsRequest,
} from "../protocol/generated/list-offsets-request.ts";
import {
  type ListOffsetsResponse,
  readListOffsetsResponse,
} from "../protocol/generated/list-offsets-response.ts";
import {
  type MetadataRequestInput,
  writeMetadataRequest,
} from "../protocol/generated/metadata-request.ts";
import {
  type MetadataResponse,
  readMetadataResponse,
} from "../protocol/generated/metadata-response.ts";
import {
  type ProduceRequestInput,
  writeProduceRequest,
} from "../protocol/generated/produce-request.ts";
import {
  type ProduceResponse,
  readProduceResponse,
} from "../protocol/generated/produce-response.ts";
import type { SpokenApi } from "./kafka-connection.ts";

export const METADATA: SpokenApi<MetadataRequestInput, MetadataResponse> = {
  apiKey: ApiKey.metadata,
  minVersion: 4,
  maxVersion: 12,
  write: writeMetadataRequest,
  read: readMetadataResponse,
};

export const LIST_OFFSETS: SpokenApi<ListOffsetsRequestInput, ListOffsetsResponse> = {
  apiKey: ApiKey.listOffsets,
  minVersion: 1,
  maxVersion: 7,
  write: writeListOffsetsRequest,
  read: readListOffsetsResponse,
};

/** From version 7 on zstd may be sent. */
export const PRODUCE: SpokenApi<ProduceRequestInput, ProduceResponse> = {
  apiKey: ApiKey.produce,
  minVersion: 7,
  maxVersion: 12,
  write: writeProduceRequest,
  read: readProduceResponse,
};

/** From version 10 on zstd may be received. */
export const FETCH: SpokenApi<FetchRequestInput, FetchResponse> = {
  apiKey: ApiKey.fetch,
  minVersion: 10,
  maxVersion: 12,
  write: writeFetchRequest,
  read: readFetchResponse,
};

export const CREATE_TOPICS: SpokenApi<CreateTopicsRequestInput, CreateTopicsResponse> = {
  apiKey: ApiKey.createTopics,
  minVersion: 2,
  maxVersion: 7,
  write: writeCreateTopicsRequest,
  read: readCreateTopicsResponse,
};

/** Version 6 names topics in another way. */
export const DELETE_TOPICS: SpokenApi<DeleteTopicsRequestInput, DeleteTopicsResponse> = {
  apiKey: ApiKey.deleteTopics,
  minVersion: 1,
  maxVersion: 5,
  write: writeDeleteTopicsRequest,
  read: readDeleteTopicsResponse,
};
