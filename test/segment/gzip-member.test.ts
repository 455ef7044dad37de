/** Gzip members of both forms: gunzip reads them, and we read what we wrote or nothing. */

import { expect, test } from "bun:test";
import { gunzipSync } from "node:zlib";
import { seededRandom } from "../../src/core/clock.ts";
import {
  copyDeflatedContent,
  copyStoredContent,
  MEMBER_BYTES_MIN,
  storedMemberBytes,
  writeDeflatedMember,
  writeStoredMember,
} from "../../src/segment/gzip-member.ts";

const SIZES = [0, 1, 2, 511, 32_767, 32_768, 32_769, 65_535, 65_536, 65_537, 262_144, 1_048_576];

test("stored member: gunzip reads it, its length is known, and so is each byte's place", () => {
  for (const size of SIZES) {
    const content = randomBytes(size);
    const member = new Uint8Array(storedMemberBytes(size));
    expect(writeStoredMember(member, content)).toBe(member.length);
    expect(Bun.deepEquals(new Uint8Array(gunzipSync(member)), content)).toBe(true);
    const copy = new Uint8Array(size);
    expect(copyStoredContent(member, size, { start: 0, end: size }, copy)).toBe(true);
    expect(Bun.deepEquals(copy, content)).toBe(true);
  }
});

test("stored member: any range is copied to where it belongs", () => {
  const random = seededRandom(5);
  const content = randomBytes(100_000);
  const member = new Uint8Array(storedMemberBytes(content.length));
  writeStoredMember(member, content);
  for (let round = 0; round < 300; round += 1) {
    const start = Math.floor(random() * content.length);
    const end = start + Math.floor(random() * (content.length + 1 - start));
    const target = new Uint8Array(end - start + 1);
    expect(copyStoredContent(member, content.length, { start, end }, target)).toBe(true);
    expect(Bun.deepEquals(target.subarray(0, -1), content.subarray(start, end))).toBe(true);
    expect(target.at(-1)).toBe(0);
  }
});

test("stored member: a changed header or block header is noticed", () => {
  const member = new Uint8Array(storedMemberBytes(40_000));
  writeStoredMember(member, randomBytes(40_000));
  const target = new Uint8Array(1);
  const second = 10 + 5 + 32_768;
  const positions = [0, 1, 2, 3, 9, 10, 11, 12, 13, 14, second, second + 4, member.length - 1];
  for (const position of positions) {
    const changed = member.slice();
    changed[position] = (changed[position] ?? 0) ^ 1;
    expect(copyStoredContent(changed, 40_000, { start: 0, end: 1 }, target)).toBe(false);
  }
  expect(copyStoredContent(member, 39_999, { start: 0, end: 1 }, target)).toBe(false);
  expect(copyStoredContent(member.subarray(1), 40_000, { start: 0, end: 1 }, target)).toBe(false);
});

test("deflated member: gunzip reads it, and so do we, with the very length", async () => {
  for (const size of [100, 511, 65_536, 262_144]) {
    const content = textBytes(size);
    const target = new Uint8Array(storedMemberBytes(size));
    const member = target.subarray(0, writeDeflatedMember(target, content));
    expect(member.length).toBeGreaterThan(MEMBER_BYTES_MIN);
    expect(member.length).toBeLessThan(size);
    expect(Bun.deepEquals(new Uint8Array(gunzipSync(member)), content)).toBe(true);
    const part = new Uint8Array(size - 20);
    const range = { start: 10, end: size - 10 };
    expect(await copyDeflatedContent(member, size, range, part)).toBe(true);
    expect(Bun.deepEquals(part, content.subarray(10, -10))).toBe(true);
    expect(await copyDeflatedContent(member, size - 1, range, part)).toBe(false);
    expect(await copyDeflatedContent(member, size + 1, range, part)).toBe(false);
  }
});

test("deflated member: a changed byte or a cut gives nothing", async () => {
  const content = textBytes(300);
  const target = new Uint8Array(storedMemberBytes(300));
  const member = target.slice(0, writeDeflatedMember(target, content));
  const range = { start: 0, end: 300 };
  for (let position = 0; position < member.length; position += 1) {
    const changed = member.slice();
    changed[position] = (changed[position] ?? 0) ^ 0x10;
    expect(await copyDeflatedContent(changed, 300, range, target)).toBe(false);
    const cut = member.subarray(0, position);
    expect(await copyDeflatedContent(cut, 300, range, target)).toBe(false);
  }
});

test("deflated member: what does not shrink is not deflated", () => {
  for (const size of [0, 1, 10, 30_000]) {
    const target = new Uint8Array(storedMemberBytes(size));
    expect(writeDeflatedMember(target, randomBytes(size))).toBe(0);
    expect(target.every((byte) => byte === 0)).toBe(true);
  }
});

function randomBytes(size: number): Uint8Array<ArrayBuffer> {
  const random = seededRandom(size);
  return Uint8Array.from({ length: size }, () => Math.floor(random() * 256));
}

function textBytes(size: number): Uint8Array<ArrayBuffer> {
  const random = seededRandom(size);
  return Uint8Array.from({ length: size }, () => 97 + Math.floor(random() * 4));
}
