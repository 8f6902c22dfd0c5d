import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import type { LeavingGroup } from './group-records.ts';
import { LeavingGroupFiles, type LeavingGroupHost } from './leaving-group.ts';
import { newMemberView } from './member-outcome.ts';

const RECORD = { id: 'g1', name: 'bus', body: {}, regions: [], members: [] } as unknown as LeavingGroup;
const BEGUN = [{ ...newMemberView('a'), migration: 'm1' }];

let saved: unknown[];
let host: LeavingGroupHost;

beforeEach(() => {
  vi.useFakeTimers();
  saved = [];
  host = {
    records: { save: (_id: string, record: unknown) => void saved.push(record), remove: () => undefined },
    regions: { claim: () => ({ [Symbol.dispose]: () => undefined }), list: () => [], occupantOf: () => undefined },
    log: { info: () => undefined, warn: () => undefined, error: () => undefined },
  } as unknown as LeavingGroupHost;
});
afterEach(() => void vi.useRealTimers());

test('what is shown of its VMs is written down soon, or at once when the daemon ends', () => {
  const files = LeavingGroupFiles.begin(host, RECORD);
  files.note(BEGUN);
  expect(saved).toHaveLength(1);
  vi.advanceTimersByTime(100);
  expect(saved.at(-1)).toMatchObject({ members: BEGUN });
  files.note([]);
  files.flush();
  expect(saved.at(-1)).toMatchObject({ members: [] });
});

test.each(['before', 'after'])('nothing comes back of one that is over: noted %s', (when) => {
  const files = LeavingGroupFiles.begin(host, RECORD);
  if (when === 'before') files.note(BEGUN);
  files.clear();
  if (when === 'after') files.note(BEGUN);
  files.flush();
  vi.advanceTimersByTime(1000);
  expect(saved).toHaveLength(1);
});
