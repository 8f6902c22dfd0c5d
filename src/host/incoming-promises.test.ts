import { beforeEach, describe, expect, test, vi } from 'vitest';
import { ScriptedHandle } from '../../test/support/scripted-engine.ts';
import { FakeClock } from '../base/clock.ts';
import { BEGINS_WITHIN_MS, IncomingPromises } from './incoming-promises.ts';

const GIB = 2 ** 30;
let clock: FakeClock;
let promises: IncomingPromises;
const lapsed = vi.fn();

beforeEach(() => {
  clock = new FakeClock();
  promises = new IncomingPromises(clock);
  lapsed.mockClear();
});

function begun(id: string, ramBytes: number): ScriptedHandle {
  const handle = new ScriptedHandle({ id, vm: id, direction: 'incoming', peer: 'b', ramBytes });
  promises.keep(handle);
  return handle;
}

function standing(): { ids: string[]; count: number; ramBytes: number } {
  const ids = ['one', 'two'].filter((id) => promises.has(id));
  return { ids, count: promises.count, ramBytes: promises.ramBytes };
}

const NOTHING = { ids: [], count: 0, ramBytes: 0 };

test('what is promised adds up', () => {
  promises.make('one', GIB, lapsed);
  promises.make('two', 2 * GIB, lapsed);
  expect(standing()).toEqual({ ids: ['one', 'two'], count: 2, ramBytes: 3 * GIB });
});

test('a promise whose migration does not begin lapses, and tells', () => {
  promises.make('one', GIB, lapsed);
  clock.advance(BEGINS_WITHIN_MS - 1);
  expect(standing().ids).toEqual(['one']);
  clock.advance(1);
  expect(standing()).toEqual(NOTHING);
  expect(lapsed).toHaveBeenCalledTimes(1);
});

test('a check counts until it is over, however long that takes', () => {
  promises.makeForCheck('one', GIB);
  clock.advance(1000 * BEGINS_WITHIN_MS);
  expect(standing()).toEqual({ ids: ['one'], count: 1, ramBytes: GIB });
  promises.endCheck('one');
  expect(standing()).toEqual(NOTHING);
});

test('the end of a check does not end what was promised to a migration', () => {
  promises.make('one', GIB, lapsed);
  promises.endCheck('one');
  expect(standing().ids).toEqual(['one']);
});

describe('a promise whose migration has begun', () => {
  test('stands however long the migration takes', () => {
    promises.make('one', GIB, lapsed);
    begun('one', GIB);
    clock.advance(1000 * BEGINS_WITHIN_MS);
    expect(standing()).toEqual({ ids: ['one'], count: 1, ramBytes: GIB });
    expect(lapsed).not.toHaveBeenCalled();
  });

  test('stands when the VM runs here already: its last pages may still be missing', async () => {
    begun('one', GIB).settle({ kind: 'left', to: 'here', epoch: 2 });
    await Promise.resolve();
    expect(standing().ids).toEqual(['one']);
  });

  test.each(['completed', 'failed', 'cancelled', 'refused'] as const)('ends with it: %s', async (outcome) => {
    const handle = begun('one', GIB);
    handle.finish({ kind: 'absent' }, { outcome });
    await handle.ended;
    expect(standing()).toEqual(NOTHING);
  });

  test('is not ended by another handle of the same id', async () => {
    begun('one', GIB);
    const second = begun('one', 5 * GIB);
    second.finish({ kind: 'absent' });
    await second.ended;
    expect(standing()).toEqual({ ids: ['one'], count: 1, ramBytes: GIB });
  });

  test('counts without having been made: an earlier daemon did that', () => {
    begun('one', GIB);
    begun('two', GIB);
    expect(standing()).toEqual({ ids: ['one', 'two'], count: 2, ramBytes: 2 * GIB });
  });
});
