/** The range tables of all partitions: by topic and partition, and by the number that segments refer to. */

import { assert } from "../core/assert.ts";
import { RangeTable } from "./range-table.ts";

/** Creates tables and drops them; the rows in them are the index's. */
export class RangeTables {
  /** By number; a number without a table is in `#freeNumbers`. */
  readonly #tables: (RangeTable | undefined)[] = [];
  readonly #freeNumbers: number[] = [];
  readonly #topics = new Map<string, Map<number, RangeTable>>();
  /** Kept for good: a range that was copied before the deletion may be registered after it. */
  readonly #deletedTopicIds = new Set<string>();

  find(topicId: string, partition: number): RangeTable | undefined {
    return this.#topics.get(topicId)?.get(partition);
  }

  /** As `find`; nothing of a deleted topic. */
  findLive(topicId: string, partition: number): RangeTable | undefined {
    const table = this.find(topicId, partition);
    return table === undefined || table.isDeleted ? undefined : table;
  }

  /** The table, perhaps a new one. */
  ensure(topicId: string, partition: number): RangeTable {
    const known = this.find(topicId, partition);
    if (known !== undefined) return known;
    const number = this.#freeNumbers.pop() ?? this.#tables.length;
    const table = new RangeTable({ topicId, partition }, number);
    table.isDeleted = this.#deletedTopicIds.has(topicId);
    this.#tables[number] = table;
    const partitions = this.#topics.get(topicId) ?? new Map<number, RangeTable>();
    this.#topics.set(topicId, partitions.set(partition, table));
    return table;
  }

  byNumber(number: number): RangeTable {
    const table = this.#tables[number];
    assert(table !== undefined, `there is no table ${number}`);
    return table;
  }

  *all(): Generator<RangeTable> {
    for (const partitions of this.#topics.values()) yield* partitions.values();
  }

  /** Of topics that are not deleted and have ranges. */
  *topicIds(): Generator<string> {
    for (const [topicId, partitions] of this.#topics) {
      if (this.#deletedTopicIds.has(topicId)) continue;
      if (partitions.values().some((table) => table.count > 0)) yield topicId;
    }
  }

  /** Of a topic that is not deleted, ascending; those that have ranges. */
  partitions(topicId: string): number[] {
    if (this.#deletedTopicIds.has(topicId)) return [];
    const tables = this.#topics.get(topicId)?.values() ?? [].values();
    const partitions = tables.filter((table) => table.count > 0).map((table) => table.partition);
    return [...partitions].sort((one, other) => one - other);
  }

  /** Marks a topic as deleted for good. @returns its tables; none if it was already. */
  deleteTopic(topicId: string): readonly RangeTable[] {
    if (this.#deletedTopicIds.has(topicId)) return [];
    this.#deletedTopicIds.add(topicId);
    const tables = [...(this.#topics.get(topicId)?.values() ?? [])];
    for (const table of tables) table.isDeleted = true;
    return tables;
  }

  /** Forgets the table of a deleted topic once it is empty. */
  maybeDrop(table: RangeTable): void {
    if (!table.isDeleted || table.count > 0) return;
    this.#tables[table.number] = undefined;
    this.#freeNumbers.push(table.number);
    const partitions = this.#topics.get(table.topicId);
    partitions?.delete(table.partition);
    if (partitions?.size === 0) this.#topics.delete(table.topicId);
  }
}
