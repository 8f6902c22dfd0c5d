/** What one VM has sent is found for another that goes the same way, as long as that may be there. */
import { randomUUID } from 'node:crypto';
import { afterEach, describe, expect, test, vi } from 'vitest';
import { largerTest } from '../../test/support/further-cases.ts';
import { migrationName, SentContents } from './sent-contents.ts';

const hashOf = (number: number) => Int32Array.of(Math.imul(number, 0x9e3779b1), Math.imul(number, 0x85ebca6b) | 1);

function sender(buffer: SharedArrayBuffer, to = 'b') {
  const id = randomUUID();
  const shared = SentContents.enter(buffer, id, to);
  return { id, shared, contents: new SentContents(shared) };
}

afterEach(() => {
  vi.useRealTimers();
});

describe('contents that were sent', () => {
  test('are found by another VM that goes to the same host, with who has sent them and where they went', () => {
    const buffer = SentContents.create();
    const [one, two, other] = [sender(buffer), sender(buffer), sender(buffer, 'c')];
    expect(one.contents.findOrClaim(hashOf(1), 100)).toBeUndefined();
    expect(two.contents.findOrClaim(hashOf(1), 7)).toEqual({
      migration: new Uint8Array(migrationName(one.id)),
      page: 100,
    });
    expect(two.contents.findOrClaim(hashOf(2), 7)).toBeUndefined();
    expect(other.contents.findOrClaim(hashOf(1), 7)).toBeUndefined();
  });

  test('are found by the same VM elsewhere, and not where it had them itself', () => {
    const one = sender(SentContents.create());
    one.contents.findOrClaim(hashOf(1), 100);
    expect(one.contents.findOrClaim(hashOf(1), 100)).toBeUndefined();
    expect(one.contents.findOrClaim(hashOf(1), 101)).toMatchObject({ page: 100 });
  });

  test('are where they were claimed last', () => {
    const buffer = SentContents.create();
    const [one, two] = [sender(buffer), sender(buffer)];
    one.contents.findOrClaim(hashOf(1), 100);
    two.contents.claim(hashOf(1), 7);
    expect(one.contents.findOrClaim(hashOf(1), 3)).toMatchObject({ page: 7 });
  });

  test('are found for some minutes after their VM has arrived, and not at all when it did not', () => {
    vi.useFakeTimers({ now: 1_000_000 });
    const buffer = SentContents.create();
    const [one, two, three] = [sender(buffer), sender(buffer), sender(buffer)];
    one.contents.findOrClaim(hashOf(1), 100);
    two.contents.findOrClaim(hashOf(2), 100);
    SentContents.leave(one.shared, true);
    SentContents.leave(two.shared, false);
    expect(three.contents.findOrClaim(hashOf(1), 3)).toMatchObject({ page: 100 });
    expect(three.contents.findOrClaim(hashOf(2), 3)).toBeUndefined();
    vi.advanceTimersByTime(900_000);
    expect(three.contents.findOrClaim(hashOf(1), 3)).toBeUndefined();
  });

  test('are forgotten, those of the oldest migration first', () => {
    const buffer = SentContents.create();
    const one = sender(buffer);
    one.contents.findOrClaim(hashOf(1), 100);
    let last = one;
    for (let i = 0; i < 256; i++) last = sender(buffer);
    expect(last.contents.findOrClaim(hashOf(1), 3)).toBeUndefined();
  });

  largerTest('are as many as there is room for, and then others', () => {
    const buffer = SentContents.create();
    const [one, two] = [sender(buffer), sender(buffer)];
    for (let page = 0; page < 2 ** 21; page++) one.contents.findOrClaim(hashOf(page), page);
    let found = 0;
    for (let page = 2 ** 21 - 1000; page < 2 ** 21; page++) {
      const place = two.contents.findOrClaim(hashOf(page), 0);
      if (place) expect(place.page).toBe(page);
      if (place) found++;
    }
    expect(found).toBeGreaterThan(900);
  });
});

test('hashes have a seed of the daemon', () => {
  const [one, two] = [SentContents.create(), SentContents.create()];
  expect(SentContents.seedOf(one)).toEqual(SentContents.seedOf(one));
  expect(SentContents.seedOf(one)).not.toEqual(SentContents.seedOf(two));
});
