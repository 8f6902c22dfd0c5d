/** A Linux guest with a workload that checks its own memory goes there and back by every mode, and notices nothing. */
import { readFileSync } from 'node:fs';
import { connect } from 'node:net';
import { dirname, join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { lastHeartbeat, readComplaints, readHeartbeats } from '../../guest/linux/console.ts';
import { linuxGuestCommandLine, linuxGuestImages } from '../../guest/linux/images.ts';
import type { MigrationMode } from '../../src/migration/request.ts';
import { requireCapability } from '../support/capability.ts';
import { withFurther } from '../support/further-cases.ts';
import { completedReport, HostPair, isFree, type ReachedHost } from '../support/host-pair.ts';
import { checkLeaks } from '../support/leak-check.ts';
import { nothingRemains } from '../support/traces.ts';
import { waitUntil } from '../support/wait-until.ts';

checkLeaks();

const VM = 'linux';
const WORKLOAD = { fillMiB: 48, workingSetMiB: 16, rate: 2000, check: 'max' } as const;
/** The guest says a heartbeat a second; on a machine that others use too it may be late, but not by much more. */
const MAX_GAP_SECONDS = 4;
/** Standing still for some ten milliseconds at each move must not add up to this. */
const CLOCK_TOLERANCE_MS = 500;

let pair: HostPair;

async function consoleText({ client }: ReachedHost): Promise<string> {
  return await client.consoleText(VM);
}

/** Types a line at the console and waits for the answer. */
async function command(at: ReachedHost, line: string, answer: RegExp): Promise<RegExpExecArray> {
  const { qmpPath, consoleLogPath } = await at.client.showVm(VM);
  const from = readFileSync(consoleLogPath!, 'latin1').length;
  const socket = connect(join(dirname(qmpPath!), 'console.sock'));
  try {
    socket.resume();
    socket.write(`${line}\n`);
    return await waitUntil(`the guest answers ${line}`, () => {
      const text = readFileSync(consoleLogPath!, 'latin1').slice(from);
      return answer.exec(text.slice(0, text.lastIndexOf('\n') + 1)) ?? undefined;
    });
  } finally {
    socket.destroy();
  }
}

async function heartbeat(at: ReachedHost, number: number): Promise<void> {
  await waitUntil(`heartbeat ${number}`, async () => (lastHeartbeat(await consoleText(at))?.number ?? 0) >= number, {
    timeoutMs: 30_000,
    intervalMs: 50,
  });
}

/** Milliseconds by which the guest's clock is ahead of this machine's. */
async function clockOffsetMs(at: ReachedHost): Promise<number> {
  const beforeMs = Date.now();
  const [, wallSeconds] = await command(at, 'stats', /stats uptime=[\d.]+ wall=([\d.]+)/);
  return Number(wallSeconds) * 1000 - (beforeMs + Date.now()) / 2;
}

requireCapability('vm')('a Linux guest', () => {
  let firstOffsetMs: number;

  beforeAll(async () => {
    pair = await HostPair.open();
    await pair.a.client.createVm({
      name: VM,
      memory: '256MiB',
      accel: 'tcg',
      boot: { ...linuxGuestImages(), cmdline: linuxGuestCommandLine(WORKLOAD) },
    });
    await heartbeat(pair.a, 2);
    firstOffsetMs = await clockOffsetMs(pair.a);
  });
  afterAll(() => pair?.[Symbol.asyncDispose]());

  test.each(
    withFurther<MigrationMode>(['hybrid', 'auto'], ['pre-copy', 'post-copy']),
  )('goes there and back by %s: beats on, memory intact, console complete', async (mode) => {
    for (const _ of ['there', 'back']) {
      const { at, other } = await pair.locate(VM);
      const before = await consoleText(at);
      const report = completedReport(await pair.move(VM, { mode, verify: true }));
      expect(report.verify).toMatchObject({ equal: true });
      await isFree(other, VM);

      const { number } = lastHeartbeat(before)!;
      await heartbeat(other, number + 1);
      const [, verdict] = await command(other, 'check', /check: (memory [^\n\r,]*)/);
      expect(verdict).toBe('memory intact');
      const text = await consoleText(other);
      expect(text.startsWith(before)).toBe(true);
      expect(readComplaints(text)).toEqual([]);
      await nothingRemains(at, VM);
    }
  });

  test('its heartbeats are complete and its clocks right after all these moves', async () => {
    const { at } = await pair.locate(VM);
    const text = await consoleText(at);
    const beats = readHeartbeats(text);
    expect(beats.map(({ number }) => number)).toEqual(beats.map((_, index) => index + 1));
    expect(beats.every(({ errors }) => errors === 0)).toBe(true);
    const gaps = beats.slice(1).map(({ uptimeSeconds }, index) => uptimeSeconds - beats[index]!.uptimeSeconds);
    expect(Math.max(...gaps)).toBeLessThan(MAX_GAP_SECONDS);
    // Over two beats: where one is late the next follows at once.
    const work = beats.slice(2).map((beat, index) => beat.work - beats[index]!.work);
    expect(Math.min(...work)).toBeGreaterThan(0);
    expect(Math.abs((await clockOffsetMs(at)) - firstOffsetMs)).toBeLessThan(CLOCK_TOLERANCE_MS);
    expect(text).toContain('heartbeat 1 ');
    expect(await at.host.json(['vm', 'console', VM])).toMatchObject({ text: expect.stringContaining('heartbeat 1 ') });
  });
});
