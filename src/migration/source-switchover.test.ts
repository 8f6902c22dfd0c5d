import { expect, test } from 'vitest';
import { SinkChannels } from '../../test/support/sink-channels.ts';
import type { PageRun } from '../base/page.ts';
import type { GuestMemory } from '../memory/guest-memory.ts';
import type { Connection } from '../transfer/connection.ts';
import { Pacer } from '../transfer/pacer.ts';
import { ConsoleCarrier } from './console-carrier.ts';
import { PageSender } from './page-sender.ts';
import { NO_MARKS } from './source-report.ts';
import { type SwitchoverPort, type SwitchoverResult, sendRest } from './source-switchover.ts';
import type { StateSender } from './state-sender.ts';

const PAGES = 4096;

/** @param written - at the stop, and while the device state is saved */
async function switchOver(
  written: readonly (readonly PageRun[])[],
  more: Partial<SwitchoverPort>,
): Promise<SwitchoverResult> {
  const looks = [...written];
  const memory = {
    layout: { pageCount: PAGES },
    readPages: (_: PageRun, into: Uint8Array) => into.fill(1),
  } as unknown as GuestMemory;
  const connection = { send: async () => undefined } as unknown as Connection;
  const pacer = new Pacer(0);
  return await sendRest({
    guest: { memory, layout: memory.layout, canReturnMemory: false, tracker: { collect: () => [...looks.shift()!] } },
    connection,
    sender: new PageSender(new SinkChannels(), pacer),
    sentFrames: () => 0,
    state: { proceed: async () => undefined, sent: Promise.resolve(0) } as unknown as StateSender,
    pacer,
    signal: new AbortController().signal,
    console: new ConsoleCarrier(null),
    marks: { ...NO_MARKS },
    clockComparison: { offsetMs: 0, uncertaintyMs: 0 },
    verify: null,
    remaining: [],
    announced: null,
    held: null,
    sealed: undefined,
    ...more,
  });
}

const remaining = [{ first: 100, count: 4 }];
const written = [
  [
    { first: 102, count: 4 },
    { first: 200, count: 1 },
  ],
  [{ first: 300, count: 1 }],
];

test('what was written since the last round is told, as the device emulation writes while it saves, too', async () => {
  const { written: told } = await switchOver(written, { remaining });
  expect(told).toEqual([
    { first: 102, count: 4 },
    { first: 200, count: 1 },
    { first: 300, count: 1 },
  ]);
});

test('what was announced, and what was written since, is missing', async () => {
  const { missing } = await switchOver(written, { remaining, announced: remaining });
  expect(missing).toEqual([
    { first: 100, count: 6 },
    { first: 200, count: 1 },
    { first: 300, count: 1 },
  ]);
});
