import { expect, test } from 'vitest';
import type { OutlookVm } from '../api/outlook-schema.ts';
import { parseFleet } from './fleet-file.ts';
import { picture } from './fleet-picture.ts';
import { showCommonality } from './fleet-view.ts';

const vmOf = (name: string): OutlookVm => ({
  ...{ name, uuid: name, state: 'running', migration: null, ramBytes: 2 ** 30, dataPages: 10_000 },
  ...{ samples: [], contents: null, sharedMemory: [] },
});

test('of VMs without a sample nothing is said: that they had nothing in common would be wrong', () => {
  const outlook = {
    ...{ host: 'a', migration: 'a:7710', memoryBytes: 2 ** 33, bandwidthBytesPerSecond: 0 },
    ...{ ways: {}, outgoing: [], vms: [vmOf('v'), vmOf('w')] },
  };
  const seen = picture(
    parseFleet({ hosts: { a: { api: 'unix:/a' } } }, '/'),
    [{ name: 'a', outlook, askedAtMs: 0 }],
    0,
  );
  expect(showCommonality(seen, undefined)).toEqual([]);
});
