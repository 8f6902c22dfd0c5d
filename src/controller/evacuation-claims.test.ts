import { afterEach, beforeEach, expect, test } from 'vitest';
import { FakeClock } from '../base/clock.ts';
import { EvacuationClaims } from './evacuation-claims.ts';
import { SqliteStore } from './sqlite-store.ts';

const some = (id: string, ...onlyVms: string[]) => ({ id, from: 'a', onlyVms: [`VM of ${id}`, ...onlyVms] });
const whole = (id: string) => ({ id, from: 'a', onlyVms: null });

let store: SqliteStore;
let clock: FakeClock;
let claims: EvacuationClaims;

beforeEach(() => {
  store = new SqliteStore(':memory:');
  clock = new FakeClock(1000);
  claims = new EvacuationClaims(store, clock);
});
afterEach(() => store[Symbol.asyncDispose]());

test('one of all VMs has its host alone; those of some share it', async () => {
  expect(await claims.claim(some('e1'))).toBeNull();
  expect(await claims.claim(some('e2'))).toBeNull();
  expect(await claims.claim(whole('e3'))).toBe('e1');
  await claims.free(some('e1'));
  expect(await claims.claim(whole('e3'))).toBe('e2');
  await claims.free(some('e2'));
  expect(await claims.claim(whole('e3'))).toBeNull();
  expect(await claims.claim(whole('e3'))).toBeNull();
  expect(await claims.claim(some('e4'))).toBe('e3');
  expect(await claims.claim({ ...whole('e5'), from: 'b' })).toBeNull();
});

test('those of some VMs share a host, but no VM', async () => {
  expect(await claims.claim(some('e1', 'x', 'y'))).toBeNull();
  expect(await claims.claim(some('e2', 'y', 'z'))).toBe('e1');
  expect(await claims.claim(some('e3', 'z'))).toBeNull();
  await claims.free(some('e1'));
  expect(await claims.claim(some('e4', 'y'))).toBeNull();
  // As an older controller wrote it down.
  await store.write('claim.b', [{ id: 'e-old', isWhole: false }], null);
  expect(await claims.claim({ ...some('e5'), from: 'b' })).toBeNull();
  expect(await claims.claim({ ...whole('e6'), from: 'b' })).toBe('e-old');
});

test('a claim is freed whose evacuation has been missing for long, and no other', async () => {
  await claims.claim(some('e-there'));
  await claims.claim(some('e-lost'));
  const known = new Set(['e-there']);
  await claims.freeLost(known);
  clock.advance(14_000);
  await claims.freeLost(known);
  expect(await claims.claim(whole('e-next'))).toBe('e-there');
  await claims.free(some('e-there'));
  expect(await claims.claim(whole('e-next'))).toBe('e-lost');
  await claims.claim(some('e-there'));
  clock.advance(1_000);
  await claims.freeLost(known);
  expect(await claims.claim(whole('e-next'))).toBe('e-there');
  await claims.free(some('e-there'));
  expect(await claims.claim(whole('e-next'))).toBeNull();
});

test('one whose evacuation came late is not taken for lost', async () => {
  await claims.claim(some('e-late'));
  await claims.freeLost(new Set());
  clock.advance(15_000);
  await claims.freeLost(new Set(['e-late']));
  clock.advance(15_000);
  await claims.freeLost(new Set());
  expect(await claims.claim(whole('e-next'))).toBe('e-late');
});
