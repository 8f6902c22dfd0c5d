/** What a region's thread does with a peer that breaks the rules, or says nothing. */
import { afterEach, beforeEach, expect, test } from 'vitest';
import { requireCapability } from '../../test/support/capability.ts';
import { RegionHosts } from '../../test/support/region-hosts.ts';
import { within } from '../../test/support/wait-until.ts';
import { listen } from '../migration/listener.ts';
import { type OpenedConnection, openConnection, SHARED_MEMORY_FEATURE, takeAnswer } from '../migration/opening.ts';
import { encodeJoin, newSessionKey } from '../migration/source-offer.ts';
import { encodeControl } from '../wire/message-codec.ts';
import type { ControlMessage } from '../wire/messages.ts';
import { SharedWriter } from '../wire/shared-writer.ts';

const PAGES = 8;
const LIFE = AbortSignal.timeout(60_000);

const PING: ControlMessage = { kind: 'ping', token: 1, wallMs: 1 };
const BEGIN: ControlMessage = { kind: 'regionBegin' };

function written(write: (writer: SharedWriter) => void): Uint8Array {
  const writer = new SharedWriter();
  write(writer);
  return writer.pending.slice();
}

requireCapability('kernel', 'cc')('a region whose source', () => {
  let hosts: RegionHosts;
  let opened: OpenedConnection;

  beforeEach(async () => {
    hosts = await RegionHosts.open({ pages: PAGES, vms: [] });
    opened = await dial();
    const region = { name: 'ring', bytes: PAGES * 4096 };
    await say({
      kind: 'offerRegion',
      group: '01234567-89ab-cdef-0123-456789abcdef',
      sessionKey: hosts.sessionKey,
      sourceHost: 'a',
      region,
      vms: ['a'],
    });
    expect(await hear()).toEqual({ kind: 'regionReady', host: 'b' });
  });

  afterEach(async () => {
    opened.connection.destroy();
    await hosts[Symbol.asyncDispose]();
  });

  function dial(): Promise<OpenedConnection> {
    return openConnection(hosts.address, 'a', { dscp: null, tls: null }, LIFE, [SHARED_MEMORY_FEATURE]);
  }

  async function say(...messages: ControlMessage[]): Promise<void> {
    await opened.connection.send(...messages.map(encodeControl));
  }

  function hear(): Promise<ControlMessage> {
    return takeAnswer(opened, 'the region');
  }

  async function lossOf(): Promise<string> {
    await within('the region ends the connection', opened.connection.closed);
    return (await hosts.destinationEvent('linkLost')).reason;
  }

  test.each<[string, readonly ControlMessage[], readonly Uint8Array[], RegExp]>([
    ['sends a page before it has begun', [PING], [written((w) => w.page(0, 1, null))], /begins to move/],
    ['sends a page of another turn', [BEGIN], [written((w) => w.page(0, 3, null))], /turn 3/],
    ['sends a page beyond the end', [BEGIN], [written((w) => w.page(PAGES, 1, null))], /not of a region of 8/],
    ['asks for what it has', [BEGIN], [written((w) => w.pair('sharedAsks', 0, 1))], /has not been/],
    ['acknowledges what was not given', [BEGIN], [written((w) => w.pair('sharedAcks', 0, 2))], /not given/],
    ['says complete while pages are missing', [BEGIN, { kind: 'regionComplete' }], [], /8 pages are missing/],
    ['releases what is not complete', [BEGIN, { kind: 'release' }], [], /pages are missing/],
    ['cancels what has begun', [BEGIN, { kind: 'regionCancel' }], [], /has begun/],
    ['says what belongs to VMs', [BEGIN, { kind: 'commit', epoch: 1 }], [], /says none/],
  ])('%s loses its connection, and may come again', async (_, messages, frames, reason) => {
    await say(...messages);
    for (const frame of frames) await opened.connection.send(frame);
    expect(await lossOf()).toMatch(reason);
    if (messages.includes(PING)) return;
    opened = await dial();
    await opened.connection.send(encodeJoin(hosts.sessionKey, 'region'));
    expect(await hear()).toEqual({ kind: 'joined', phase: 'pagingIn', epoch: 0 });
  });

  test('pings is answered', async () => {
    await say(PING);
    expect(await hear()).toMatchObject({ kind: 'pong', token: 1 });
  });

  test('has not spoken is told nothing, also by who joins twice', async () => {
    await say(BEGIN);
    const first = opened;
    opened = await dial();
    await opened.connection.send(encodeJoin(hosts.sessionKey, 'region'));
    expect(await hear()).toMatchObject({ kind: 'joined' });
    expect((await first.connection.closed).message).toMatch(/closed/);
    expect((await hosts.destinationEvent('linkLost')).reason).toMatch(/replaced/);
  });

  test('shows another key is unknown', async () => {
    opened.connection.destroy();
    opened = await dial();
    await opened.connection.send(encodeJoin(newSessionKey(), 'region'));
    expect(await hear()).toMatchObject({ kind: 'refused', error: { code: 'GW_PEER_UNKNOWN_SESSION' } });
  });
});

test('a host that takes no shared memory says so', async () => {
  const listener = await listen({
    host: '127.0.0.1',
    port: 0,
    features: [],
    hostName: 'b',
    dscp: null,
    tls: null,
    screen: () => Promise.reject(new Error('nobody offers a VM')),
    onOffer: () => undefined,
    onJoin: () => 'taken',
  });
  const opened = await openConnection(`127.0.0.1:${listener.port}`, 'a', { dscp: null, tls: null }, LIFE, [
    SHARED_MEMORY_FEATURE,
  ]);
  expect(opened.agreement.features).toEqual([]);
  const region = { name: 'ring', bytes: 4096 };
  const group = '01234567-89ab-cdef-0123-456789abcdef';
  const offer = { group, sessionKey: newSessionKey(), sourceHost: 'a', region, vms: ['a', 'c'] };
  await opened.connection.send(encodeControl({ kind: 'offerRegion', ...offer }));
  const answer = await takeAnswer(opened, 'b');
  expect(answer).toMatchObject({
    kind: 'refused',
    error: { code: 'GW_REGION_REFUSED', details: { region: offer.region.name } },
  });
  opened.connection.destroy();
  await listener.close();
});
